/* Supervised fine-tuning: cross-entropy of the replies at temperature 1. */
#include "src/learn/head_pass.h"
#include "src/learn/loss.h"
#include "src/learn/pack.h"

/* Of packed turns: adds sum -logp to the loss, and the tokens; learns too where leaf is given. */
static status packed_learn(struct learner *l, const struct packed_batch *packed, double all_tokens,
                           float *leaf, struct partial *sum)
{
    struct token_arrays *t = &l->tokens;
    TRY(token_arrays_begin(t, packed->tokens));
    TRY(model_forward(l->policy_run, &packed->batch, leaf ? learner_keep(l) : MODEL_KEEP_NOTHING,
                      0));
    if (leaf) {
        float *weights = token_host(t, TOKEN_WEIGHT);
        for (int64_t i = 0; i < t->count; i++) weights[i] = (float)(-1.0 / all_tokens);
        l->queue->op->upload(l->queue, token_device(t, TOKEN_DLOGP), weights,
                             (size_t)t->count * sizeof *weights);
        const struct head_pass pass = {.temperature = 1.0f,
                                       .smoothing = (float)l->settings.label_smoothing};
        TRY(head_pass_run(l, &pass, leaf));
        TRY(model_backward(l->policy_run, NULL, leaf, &l->watermark));
    } else {
        TRY(model_run_logp(l->policy_run, 1.0f, token_device(t, TOKEN_LOGP), NULL, NULL, NULL));
    }
    TRY(token_arrays_download(t, TOKEN_LOGP, TOKEN_LSE));
    for (int64_t i = 0; i < t->count; i++) sum->loss -= (double)token_host(t, TOKEN_LOGP)[i];
    sum->computed += (double)learner_tokens_computed(l);
    sum->pairs += (double)learner_tokens_pairs(l, packed);
    return NULL;
}

static status turns_learn(struct learner *l, const struct learn_turn *turns, int64_t n,
                          double all_tokens, float *leaf, struct partial *sum)
{
    struct packed_batch packed;
    packed_batch_make(&packed, turns, n);
    status s = NULL;
    if (packed.tokens) s = packed_learn(l, &packed, all_tokens, leaf, sum);
    packed_batch_free(&packed);
    return s;
}

static status sft_chunk(struct learner *l, const struct learn_batch *batch,
                        const struct learn_turn *turns, int64_t n, float *leaf,
                        struct partial *partial)
{
    struct partial sum = {0};
    TRY(turns_learn(l, turns, n, (double)batch->all_tokens, leaf, &sum));
    partial->loss += sum.loss / (double)batch->all_tokens;
    partial->computed += sum.computed;
    partial->pairs += sum.pairs;
    return NULL;
}

status loss_update_refresh(struct learner *l)
{
    return model_refresh_update(l->policy, model_version(l->policy).update + 1);
}

const struct loss loss_sft = {.name = "sft", .chunk = sft_chunk, .refresh = loss_update_refresh};

status loss_sft_held_out(struct learner *l, const struct learn_turn *turns, int64_t count,
                         double *sum, int64_t *tokens)
{
    struct partial all = {0};
    *tokens = 0;
    for (int64_t at = 0; at < count;) {
        const int64_t n = pack_chunk(&l->settings, l->causal, 1, turns + at, count - at);
        TRY(turns_learn(l, turns + at, n, 1, NULL, &all));
        for (int64_t i = 0; i < n; i++) *tokens += turns[at + i].reply_count;
        at += n;
    }
    *sum = all.loss;
    return NULL;
}
