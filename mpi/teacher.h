/* The teacher of rm.objective: interaction. */
#ifndef REGARD_MPI_TEACHER_H
#define REGARD_MPI_TEACHER_H

#include "src/base/config.h"
#include "src/model/value_model.h"
#include "src/rollout/language.h"

/* rm.align.teacher as rm.align.control has it, to be read alone; NULL where nothing asks for one.
 * One that reads no pairs, or whose tokenizer is not the run's, is refused. */
status teacher_open(const struct config *config, struct queue *queue,
                    const struct language *language, struct value_model **out);

#endif
