/* The estimate of the KL to the reference policy from one token, and how much one may count. */
#ifndef REGARD_REWARD_KL_H
#define REGARD_REWARD_KL_H

#include "src/base/choices.h"

/* What is seen of k1 = logp - logp_ref: never outside [low, high]. */
struct kl_bounds {
    double low, high;
};

/* exp(-k1) - 1 + k1, of float64 precision near 0 (http://joschu.net/blog/kl-approx.html). */
double kl_k3(double k1);
/* Where an estimate (enum kl_estimator) is at most `clamp` in size: k1 in [-clamp, clamp]; k3
 * between its two places where it is clamp, to 1e-12.  clamp 0: everywhere. */
struct kl_bounds kl_bounds_of(int estimator, double clamp);
double kl_bounded(const struct kl_bounds *bounds, double k1);

#endif
