/* One dialogue as the model reads it, for a person to see what is learned from. */
#ifndef REGARD_TASK_MASK_H
#define REGARD_TASK_MASK_H

#include "src/data/dialogue.h"
#include "src/text/history.h"

#include <stdio.h>

/* The chat format of the histories, and the data set's first dialogue token by token, as lines that
 * begin with "#": the tokens that carry the loss of a turn of `role` stand in lines marked *, those
 * that are read alone in the others.  What a turn's history shares with what stands above it is not
 * written again. */
status mask_print(const struct history_options *options, const struct dataset *data,
                  enum dialogue_role role, FILE *out);

#endif
