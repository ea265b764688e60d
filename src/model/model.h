/* A model of any family: parameters, their packed copies, and which weights they are. */
#ifndef REGARD_MODEL_MODEL_H
#define REGARD_MODEL_MODEL_H

#include "src/model/parameters.h"
#include "src/model/shape.h"

struct model;

/* The table of parameters that a model of this shape has, values NULL; the caller frees list. */
status model_lay_out(const struct model_shape *shape, struct parameters *out);
/* Parameters allocated, zero; the shape is copied.  with_gradients: linear layers are packed for
 * backward too. */
status model_create(struct queue *queue, const struct model_shape *shape, bool with_gradients,
                    struct model **out);
void model_destroy(struct model *model);
const struct model_shape *model_shape(const struct model *model);
struct parameters *model_parameters(struct model *model);
/* Those that are trained, sent between ranks and saved: all of them, or with adapters
 * (src/model/adapted.h) these alone.  Gradients are laid out as they are. */
struct parameters *model_trained(struct model *model);
/* A token that ends replies too, as a chat format has it; nothing changes where it does already. */
status model_add_end(struct model *model, int32_t token);
struct queue *model_queue(struct model *model);
/* The family's random start from a seed: normal deviates, norms 1. */
status model_initialize(struct model *model, int64_t seed);

/* Which weights a model holds: those after so many updates and so many optimizer steps of the next
 * one.  With stochastic rounding the matrices' bits are a function of parameters, seed and version
 * alone: what learns, what samples and what was resumed round alike. */
struct model_version {
    int64_t update, step;
};
struct model_version model_version(const struct model *model);
/* From the next refresh on matrices are rounded to bf16 stochastically. */
void model_round_stochastically(struct model *model, int64_t seed);
/* After the parameters changed: packs the matrices anew.  The version stays; is the next step's; is
 * that of so many updates. */
status model_refresh(struct model *model);
status model_refresh_step(struct model *model);
status model_refresh_update(struct model *model, int64_t update);
/* Weights after so many updates, model_trained of another model of this kind, in the same layout on
 * this queue's device, for a model that only reads: matrices are packed from there, the rest
 * (norms, the embedding, ...) is copied.  Queued, not waited for.  The matrices in
 * model_trained(to)->values may keep what they held: only operations may use `to` after this, not
 * refresh, hash, export or a checkpoint. */
void model_take_values(struct model *to, const float *values, int64_t update);

#endif
