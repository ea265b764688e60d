/* k3 and its bounds; see kl.h. */
#include "src/reward/kl.h"

#include <math.h>

double kl_k3(double k1)
{
    return expm1(-k1) + k1;
}

/* The k1 between `inside` (k3 below clamp) and `outside` (not) at which k3 is clamp, by bisection.
 */
static double k3_reaches(double clamp, double inside, double outside)
{
    for (int i = 0; i < 200 && fabs(outside - inside) > 1e-12; i++) {
        const double middle = 0.5 * (inside + outside);
        *(kl_k3(middle) < clamp ? &inside : &outside) = middle;
    }
    return inside;
}

struct kl_bounds kl_bounds_of(int estimator, double clamp)
{
    if (clamp == 0) return (struct kl_bounds){-INFINITY, INFINITY};
    if (estimator == KL_K1) return (struct kl_bounds){-clamp, clamp};
    /* k3(-x) >= x^2 / 2 and k3(x) >= x - 1 for x >= 0. */
    return (struct kl_bounds){k3_reaches(clamp, 0, -sqrt(2 * clamp)),
                              k3_reaches(clamp, 0, clamp + 1)};
}

double kl_bounded(const struct kl_bounds *bounds, double k1)
{
    return k1 < bounds->low ? bounds->low : k1 > bounds->high ? bounds->high : k1;
}
