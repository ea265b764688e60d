/* Dialogues that cannot be asked: a user's message that is longer than history.max_tokens allows
 * is never cut, so a rollout could not go on from it. */
#ifndef REGARD_TASK_OVERLONG_H
#define REGARD_TASK_OVERLONG_H

#include "src/data/dialogue.h"
#include "src/text/history.h"

struct overlong {
    int64_t dialogues;  /* left out */
    int64_t first_line; /* of the first of them */
};

/* Takes those dialogues out of the data set of which one of the first `turns` messages of the user
 * that are not given does not fit.  An error when none is left. */
status dataset_drop_overlong(const struct history_options *options, struct dataset *data,
                             int64_t turns, struct overlong *out);

#endif
