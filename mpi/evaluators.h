/* What held-out metrics are measured by beside the model and the sources, from the configuration:
 * eval.encoder and eval.on_topic, each of which may name a run. */
#ifndef REGARD_MPI_EVALUATORS_H
#define REGARD_MPI_EVALUATORS_H

#include "src/base/config.h"
#include "src/evaluate/evaluate.h"

/* Fills encoder and on_topic; to be closed after an error too. */
status evaluators_open(const struct config *config, struct queue *queue, struct evaluators *by);
void evaluators_close(struct evaluators *by);
/* All device memory at once. */
status evaluators_reserve(const struct evaluators *by);
/* Before the first evaluation: fixes the threshold of eval.on_topic, and logs what metrics are
 * measured by.  measured: the path of the data that will be measured, for a warning where the
 * threshold is fixed on them. */
status evaluators_prepare(const struct config *config, const char *measured,
                          const struct evaluators *by);

#endif
