/* One pass of a value model over some turns' histories, forward and backward: what the critic's
 * loss and those of reward models share. */
#ifndef REGARD_LEARN_VALUE_PASS_H
#define REGARD_LEARN_VALUE_PASS_H

#include "src/learn/batch.h"
#include "src/learn/pack.h"
#include "src/model/value_model.h"

struct value_pass {
    struct value_model *model;
    struct packed_batch packed;
    float *values, *dvalues; /* [histories]; dvalues 0 at the start */
};

/* keep: for value_pass_backward.  To be freed after an error too. */
status value_pass_forward(struct value_pass *pass, struct value_model *model,
                          const struct learn_turn *turns, int64_t count, enum model_keep keep);
double value_pass_of(const struct value_pass *pass, int64_t turn);
/* The loss's derivative by a turn's value. */
void value_pass_learn(struct value_pass *pass, int64_t turn, double gradient);
/* gradients: added to; watermark may be NULL. */
status value_pass_backward(struct value_pass *pass, float *gradients,
                           const struct model_watermark *watermark);
void value_pass_free(struct value_pass *pass);

#endif
