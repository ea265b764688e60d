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
    struct parameters parameters;
    struct linear **linears; /* all that are packed, in the order of their offsets; a head tied to
                              * the embedding stands behind */
    int64_t linear_count;
    int64_t embedding;  /* offset of [vocabulary, width] */
    struct linear head; /* [vocabulary, width]; n 0: none */
};

/* For lay_out: notes a linear layer that the model packs; it must stay where it is. */
void model_add_linear(struct model *model, struct linear *w);
/* Creates a model with more parameters behind its own: extend, which may be NULL, appends them. */
status model_create_extended(struct queue *queue, const struct model_shape *shape,
                             bool with_gradients,
                             void (*extend)(struct model *model, void *context), void *context,
                             struct model **out);

#endif
