/* Slots of a history that stand for turns that were cut off it (history.summary): the turns go
 * through the encoder behind the histories, each by itself, and the slots' encoder outputs are made
 * of theirs. */
#ifndef REGARD_MODEL_T5_SUMMARY_H
#define REGARD_MODEL_T5_SUMMARY_H

#include "src/model/t5/state.h"

/* Finds the batch's slots and turns: the run's history_tokens become all rows of the encoder. */
status t5_summaries_measure(struct model_run *run, const struct model_batch *batch);
void t5_summaries_limit(struct model_run *run, const struct model_limits *limits);
/* Segments of the encoder's attention: a history's slots, its tokens, then all turns. */
void t5_summaries_place_integers(struct t5_run *run, struct workspace *workspace);
void t5_summaries_fill(const struct t5_run *run, const struct model_batch *batch);
/* run->hidden at the slots; and back: dencoder [n, d] is the gradient of the rows that are read,
 * and becomes that of the encoder's. */
void t5_summaries_forward(struct t5_run *run);
void t5_summaries_backward(struct t5_run *run, real *dencoder, float *gradients);

#endif
