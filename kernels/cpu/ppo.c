/* PPO's clipped surrogate with the k3 estimate of the KL to the reference policy, token by
 * token (arXiv 1707.06347; k3: http://joschu.net/blog/kl-approx.html). */
#include "kernels/cpu/cpu.h"

#include <math.h>

enum { thread_work = 1 << 12 }; /* tokens below which one thread does all */

/* r = exp(logp_new - logp_old);  surrogate = min(r A, clip(r, 1 - clip, 1 + clip_high) A), whose
 * gradient is r A where it is the first of the two, else 0 (two bounds: arXiv 2503.14476).
 * With log_ratio r is the reply's, of which each token has the gradient r A that it would have of a
 * ratio of its own (GSPO-token, arXiv 2507.18071, eq. 13).
 * With clip_weight the surrogate is clip(r, ...) A logp_new, the first factor a constant: every
 * token has a gradient (CISPO, arXiv 2506.13585, eq. 4).  A NaN in r stays one.
 * With logp_behaviour the surrogate, and so its gradient, is multiplied by
 * w = min(exp(logp_old - logp_behaviour), importance_cap), a constant: logp_old is then of the
 * policy that the update began with, and the sample of an older one (decoupled objective,
 * arXiv 2110.00641 and 2505.24298; truncation: arXiv 1802.01561).
 * k = logp_new - logp_ref, cut to [kl_low, kl_high];  k3 = exp(-k) - 1 + k, whose gradient is
 * 1 - exp(-k): beyond a bound the pull back to the reference goes on, as strong as at the bound.
 * In float64, rounded once at the end: k3 is small beside its terms. */
static void token_loss(const struct ppo_tokens *p, int64_t i)
{
    const double advantage = p->advantage[i], weight = p->weight[i];
    const double ratio = exp(p->log_ratio ? (double)p->log_ratio[i]
                                          : (double)p->logp_new[i] - (double)p->logp_old[i]);
    const double low = 1 - (double)p->clip, high = 1 + (double)p->clip_high;
    const double bounded = ratio < low ? low : ratio > high ? high : ratio;
    const bool clipped =
        p->clip_weight ? bounded != ratio : bounded * advantage < ratio * advantage;
    double loss = clipped ? -bounded * advantage : -ratio * advantage;
    double gradient = clipped ? 0 : -ratio * advantage;
    if (p->clip_weight) {
        gradient = -bounded * advantage;
        loss = gradient * (double)p->logp_new[i];
    }
    if (p->logp_behaviour) {
        const double importance = exp((double)p->logp_old[i] - (double)p->logp_behaviour[i]);
        const double cap = p->importance_cap, w = importance > cap ? cap : importance;
        loss *= w;
        gradient *= w;
    }
    double k3 = 0;
    if (p->logp_ref) {
        const double k1 = (double)p->logp_new[i] - (double)p->logp_ref[i];
        const double kl_low = p->kl_low, kl_high = p->kl_high;
        const double k = k1 < kl_low ? kl_low : k1 > kl_high ? kl_high : k1;
        k3 = expm1(-k) + k;
        loss += (double)p->kl_coef * k3;
        gradient -= (double)p->kl_coef * expm1(-k);
    }
    p->loss[i] = (float)(weight * loss);
    p->dlogp[i] = (float)(weight * gradient);
    p->clipped[i] = clipped ? 1.0f : 0.0f;
    p->kl[i] = (float)k3;
}

void cpu_ppo_loss(struct queue *q, const struct ppo_tokens *p)
{
    const int threads = p->tokens < thread_work ? 1 : q->threads;
#pragma omp parallel for num_threads(threads) if (threads > 1)
    for (int64_t i = 0; i < p->tokens; i++) token_loss(p, i);
}
