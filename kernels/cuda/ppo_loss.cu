/* PPO's clipped surrogate with the k3 estimate of the KL to the reference policy, token by token;
 * the formulas and their sources are in kernels/cpu/ppo.c. */
#include "cuda.cuh"

enum { threads = 256 };

/* In float64, rounded once at the end: k3 is small beside its terms. */
static __global__ void __launch_bounds__(threads) ppo_loss_kernel(struct ppo_tokens p)
{
    const int64_t i = (int64_t)blockIdx.x * threads + threadIdx.x;
    if (i >= p.tokens) return;
    const double advantage = p.advantage[i], weight = p.weight[i];
    const double ratio =
        exp(p.log_ratio ? (double)p.log_ratio[i] : (double)p.logp_new[i] - (double)p.logp_old[i]);
    const double low = 1 - (double)p.clip, high = 1 + (double)p.clip_high;
    const double bounded = ratio < low ? low : ratio > high ? high : ratio;
    const bool clipped = p.clip_weight ? bounded != ratio : bounded * advantage < ratio * advantage;
    double loss = clipped ? -bounded * advantage : -ratio * advantage;
    double gradient = clipped ? 0 : -ratio * advantage;
    if (p.clip_weight) {
        gradient = -bounded * advantage;
        loss = gradient * (double)p.logp_new[i];
    }
    if (p.logp_behaviour) {
        const double importance = exp((double)p.logp_old[i] - (double)p.logp_behaviour[i]);
        const double cap = p.importance_cap, w = importance > cap ? cap : importance;
        loss *= w;
        gradient *= w;
    }
    double k3 = 0;
    if (p.logp_ref) {
        const double k1 = (double)p.logp_new[i] - (double)p.logp_ref[i];
        const double kl_low = p.kl_low, kl_high = p.kl_high;
        const double k = k1 < kl_low ? kl_low : k1 > kl_high ? kl_high : k1;
        k3 = expm1(-k) + k;
        loss += (double)p.kl_coef * k3;
        gradient -= (double)p.kl_coef * expm1(-k);
    }
    p.loss[i] = (float)(weight * loss);
    p.dlogp[i] = (float)(weight * gradient);
    p.clipped[i] = clipped ? 1.0f : 0.0f;
    p.kl[i] = (float)k3;
}

void cuda_ppo_loss(struct queue *q, const struct ppo_tokens *p)
{
    if (p->tokens == 0) return;
    cuda_launch(q, ppo_loss_kernel, cuda_divide_up(p->tokens, threads), threads, 0, *p);
}
