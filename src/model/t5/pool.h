/* Learned slots (history.summary: learned): K queries, parameters, attend to the encoder states of
 * a history's turns that were cut, d / 2^e heads of 2^e elements side by side without projections;
 * what they read are the slots' encoder outputs. */
#ifndef REGARD_MODEL_T5_POOL_H
#define REGARD_MODEL_T5_POOL_H

#include "src/model/t5/state.h"

/* Of a run that has its summaries (summary.h); nothing where the model has no queries. */
void t5_pool_place_integers(struct t5_run *run, struct workspace *workspace);
void t5_pool_fill(const struct t5_run *run);
void t5_pool_place(struct t5_run *run, struct workspace *workspace);
/* turns: the states [cut_tokens, d].  Into run->pool.out [summaries K, d]. */
void t5_pool_forward(struct t5_run *run, const real *turns);
/* From run->pool.dout [summaries K, d]: dturns is overwritten, the queries' gradient added to. */
void t5_pool_backward(struct t5_run *run, const real *turns, real *dturns, float *gradients);

#endif
