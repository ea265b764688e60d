/* What a model holds, for the files of src/model alone. */
#ifndef REGARD_MODEL_MODEL_STATE_H
#define REGARD_MODEL_MODEL_STATE_H

#include "src/model/family.h"
#include "src/model/linear.h"
#include "src/model/parameters.h"
#include "src/model/shape.h"

/* A family's own struct begins with it. */
struct model {
    const struct model_family *family;
    struct queue *queue;
    struct model_shape *shape;
    bool with_gradients;
    bool stochastic; /* rounding, keyed by seed and version */
    int64_t seed;
    int64_t update, step; /* the version */
    int64_t packed;       /* times that weights were packed: what was computed before is stale */
    struct parameters parameters;
    struct linear **linears; /* all that are packed, in the order of their offsets; a head tied to
                              * the embedding stands behind */
    int64_t linear_count;
    int64_t embedding;  /* offset of [vocabulary, width] */
    struct linear head; /* [vocabulary, width]; n 0: none, the model is headless */
    /* With adapters: the base, whose values `parameters` borrows, and what is trained in place of
     * them, the adapters and what was appended behind them. */
    struct model *base; /* NULL: a model without adapters */
    bool owns_base;
    char *base_name;    /* NULL: not noted */
    char base_hash[65]; /* empty: not taken yet */
    struct adapter_settings adapter_settings;
    struct parameters trained;
    struct adapter *adapters; /* in the order of their layers */
    int64_t adapter_count;
    struct adapter_room adapter_room;
};

/* Where the gradient of the parameter at `offset` is added; NULL: it stands still. */
static inline float *model_gradient(const struct model *model, float *gradients, int64_t offset)
{
    return model->base ? NULL : gradients + offset;
}

/* Of layer `layer`, in `room`; NULL where `all` is. */
static inline const struct head_statistics *
layer_statistics(const struct head_statistics *all, int64_t layer, struct head_statistics *room)
{
    if (!all) return NULL;
    *room = *all;
    room->layer = layer;
    return room;
}

/* For lay_out: notes a linear layer that the model packs; it must stay where it is. */
void model_add_linear(struct model *model, struct linear *w);
/* The table of parameters, with no memory for their values. */
struct model *model_new(struct queue *queue, const struct model_shape *shape);
/* Creates a model with more that is trained behind its own: extend, which may be NULL, appends it
 * to model_trained. */
status model_create_extended(struct queue *queue, const struct model_shape *shape,
                             bool with_gradients,
                             void (*extend)(struct model *model, void *context), void *context,
                             struct model **out);
/* The same on a base, whose shape without what replies alone need `shape` may be. */
status model_create_adapted_extended(struct model *base, const struct model_shape *shape,
                                     const struct adapter_settings *settings, bool with_gradients,
                                     void (*extend)(struct model *model, void *context),
                                     void *context, struct model **out);

#endif
