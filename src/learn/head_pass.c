/* The head, its loss and its backward pass, rows by rows; see head_pass.h. */
#include "src/learn/head_pass.h"

status head_pass_run(struct learner *l, const struct head_pass *pass, float *leaf)
{
    struct queue *q = l->queue;
    struct model_run *run = l->policy_run;
    const struct token_arrays *t = &l->tokens;
    const int64_t vocabulary = model_shape(l->policy)->vocabulary;
    const int64_t max_rows = model_run_head_rows(run);
    float *logp = token_device(t, TOKEN_LOGP), *lse = token_device(t, TOKEN_LSE);
    float *entropy = pass->entropy ? token_device(t, TOKEN_ENTROPY) : NULL;
    const float *dlogp = token_device(t, TOKEN_DLOGP), *weight = token_device(t, TOKEN_WEIGHT);
    const bool at_once = t->count <= max_rows;
    if (pass->all && !at_once) {
        TRY(model_run_logp(run, pass->temperature, logp, NULL, NULL, NULL));
        TRY(pass->all(pass->context));
    }
    for (int64_t first = 0; first < t->count; first += max_rows) {
        const int64_t rows = t->count - first < max_rows ? t->count - first : max_rows;
        const int32_t *targets = model_run_targets(run) + first;
        const float *logits = model_run_head_forward(run, first, rows);
        q->op->softmax_loss(q, logp + first, entropy ? entropy + first : NULL, lse + first, NULL,
                            NULL, logits, NULL, targets, pass->temperature, rows, vocabulary);
        if (pass->all && at_once) TRY(pass->all(pass->context));
        if (pass->rows) pass->rows(pass->context, first, rows);
        const struct entropy_bonus bonus = {entropy ? entropy + first : NULL, weight + first,
                                            pass->entropy_coef};
        real *dlogits = model_run_dlogits(run);
        q->op->softmax_loss_backward(q, dlogits, logits, lse + first, targets, dlogp + first,
                                     pass->temperature, pass->smoothing,
                                     pass->entropy_coef > 0 ? &bonus : NULL, rows, vocabulary);
        TRY(model_run_head_backward(run, first, rows, dlogits, leaf));
    }
    return NULL;
}
