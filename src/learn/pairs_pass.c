#include "src/learn/pairs_pass.h"

status pairs_pass_finish(struct value_pass *pass, status s, struct learner *l,
                         const struct learn_turn *turns, int64_t count, float *gradients,
                         struct partial *partial)
{
    if (!s) s = value_pass_backward(pass, gradients, &l->watermark);
    partial->computed += (double)value_model_tokens(pass->model);
    for (int64_t i = 0; i < count; i++) partial->pairs += (double)turns[i].history_count;
    value_pass_free(pass);
    return s;
}
