/* Teacher-forced passes of a decoder-only model over a forest. */
#ifndef REGARD_MODEL_CAUSAL_FORWARD_H
#define REGARD_MODEL_CAUSAL_FORWARD_H

#include "src/model/causal/state.h"

void causal_run_create(struct model_run *run);
void causal_run_release(struct model_run *run);
status causal_run_measure(struct model_run *run, const struct model_batch *batch);
void causal_run_limit(struct model_run *run, const struct model_limits *limits);
void causal_run_place_integers(struct model_run *run, struct workspace *workspace);
void causal_run_fill_integers(const struct model_run *run, const struct model_batch *batch);
void causal_run_place(struct model_run *run, struct workspace *workspace);
void causal_forward(struct model_run *run);

/* Whether the model has positions for a sequence of so many tokens. */
status causal_context_check(const struct causal_shape *shape, int64_t longest);
/* The first row that layer `index` computes beyond its keys and values: in the last layer history
 * rows are read by replies alone, and nothing reads what they become. */
int64_t causal_first_row(const struct causal_run *run, int64_t index);
/* The attention of all rows from `first`, 0 or the first reply row. */
struct attention causal_run_attention(const struct causal_run *run,
                                      const struct causal_activations *a, int64_t first);
/* A layer's activations anew from its input; the capture and the output are left alone. */
void causal_recompute_layer(struct causal_run *run, int64_t index);

#endif
