#include "src/learn/value_pass.h"

#include "src/base/memory.h"

#include <stdlib.h>

status value_pass_forward(struct value_pass *pass, struct value_model *model,
                          const struct learn_turn *turns, int64_t count, enum model_keep keep)
{
    pass->model = model;
    packed_batch_make(&pass->packed, turns, count);
    const int64_t histories = pass->packed.batch.histories;
    pass->values = memory_allocate((size_t)histories * 2 * sizeof *pass->values + 4);
    pass->dvalues = pass->values + histories;
    return value_model_forward(model, &pass->packed.batch, keep, pass->values);
}

double value_pass_of(const struct value_pass *pass, int64_t turn)
{
    return (double)pass->values[pass->packed.history_of_turn[turn]];
}

void value_pass_learn(struct value_pass *pass, int64_t turn, double gradient)
{
    pass->dvalues[pass->packed.history_of_turn[turn]] += (float)gradient;
}

status value_pass_backward(struct value_pass *pass, float *gradients,
                           const struct model_watermark *watermark)
{
    return value_model_backward(pass->model, pass->dvalues, gradients, watermark);
}

void value_pass_free(struct value_pass *pass)
{
    free(pass->values);
    packed_batch_free(&pass->packed);
}
