/* Softmax over the vocabulary: log-probabilities of targets, entropy, KL and gradient. */
#include "kernels/cpu/rows.h"

static bool target_valid(struct queue *q, const char *name, int32_t target, int64_t vocabulary)
{
    if (target >= 0 && target < vocabulary) return true;
    cpu_fail(q, ERROR(STATUS_INTERNAL, "%s: target %d is outside the vocabulary of %lld", name,
                      target, (long long)vocabulary));
    return false;
}

void cpu_softmax_loss(struct queue *q, float *logp, float *entropy, float *lse, float *kl,
                      float *self_certainty, const float *logits, const float *reference_logits,
                      const int32_t *targets, float temperature, int64_t m, int64_t vocabulary)
{
    const struct row_functions *rows = rows_of(q);
#pragma omp parallel for num_threads(q->threads) schedule(static) if (m > 1)
    for (int64_t i = 0; i < m; i++) {
        const float *x = logits + i * vocabulary;
        struct logits_sums sums;
        rows->logits(&sums, x, temperature, vocabulary);
        if (logp && target_valid(q, "softmax_loss", targets[i], vocabulary))
            logp[i] = logits_logp(&sums, x[targets[i]], temperature);
        if (entropy) entropy[i] = logits_entropy(&sums);
        if (lse) lse[i] = sums.largest + sums.log_sum;
        if (self_certainty)
            self_certainty[i] =
                logits_self_certainty(&sums, rows->total(x, vocabulary), temperature, vocabulary);
        if (kl && reference_logits) {
            const float *y = reference_logits + i * vocabulary;
            struct logits_sums reference;
            rows->logits(&reference, y, temperature, vocabulary);
            kl[i] = rows->divergence(x, &sums, y, &reference, temperature, vocabulary);
        }
    }
}

void cpu_softmax_loss_backward(struct queue *q, real *dlogits_, const float *logits,
                               const float *lse, const int32_t *targets, const float *dlogp,
                               float temperature, float smoothing,
                               const struct entropy_bonus *bonus, int64_t m, int64_t vocabulary)
{
    float *dlogits = dlogits_;
    const struct row_functions *rows = rows_of(q);
    const float uniform = smoothing / (float)vocabulary;
#pragma omp parallel for num_threads(q->threads) schedule(static) if (m > 1)
    for (int64_t i = 0; i < m; i++) {
        const float *x = logits + i * vocabulary;
        float *d = dlogits + i * vocabulary;
        const float factor = dlogp[i] / temperature;
        if (!target_valid(q, "softmax_loss_backward", targets[i], vocabulary)) continue;
        if (bonus)
            rows->softmax_entropy_gradient(
                d, x, temperature, lse[i], uniform, factor, bonus->entropy[i],
                bonus->coef * bonus->weight[i] / temperature, vocabulary);
        else
            rows->softmax_gradient(d, x, temperature, lse[i], uniform, factor, vocabulary);
        d[targets[i]] += (1.0f - smoothing) * factor;
    }
}
