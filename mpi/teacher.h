/* The teacher of rm.objective: interaction. */
#ifndef REGARD_MPI_TEACHER_H
#define REGARD_MPI_TEACHER_H

#include "src/base/config.h"
#include "src/model/value_model.h"
#include "src/rollout/language.h"

/* The model of rm.align.teacher, without gradients, with random weights where rm.align.control is
 * untrained; *out NULL where the settings need none.  A model of another objective than pair, or
 * with another tokenizer than the run's, is refused. */
status teacher_open(const struct config *config, struct queue *queue,
                    const struct language *language, struct value_model **out);

#endif
