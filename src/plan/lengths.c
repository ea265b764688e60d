/* See lengths.h. */
#include "src/plan/lengths.h"

#include "src/base/philox.h"

#include <math.h>

/* (0, 1] with 32 bits. */
static double uniform(uint32_t word)
{
    return ((double)word + 1) * 0x1p-32;
}

static double of_list(const struct lengths *l, double u)
{
    if (!l->until) {
        const int64_t at = (int64_t)(u * (double)l->count);
        return l->list[at < l->count ? at : l->count - 1];
    }
    int64_t i = 0;
    while (i + 1 < l->count && u > l->until[i]) i++;
    return l->list[i];
}

static int64_t draw(const struct lengths *l, const uint32_t random[4])
{
    double value = (double)l->most;
    if (l->median > 0) { /* Box and Muller (1958) */
        const double normal =
            sqrt(-2 * log(uniform(random[0]))) * cos(2 * M_PI * uniform(random[1]));
        value = l->median * exp(l->sigma * normal);
    } else if (l->count)
        value = of_list(l, uniform(random[0]));
    if (value > (double)l->most) return l->most;
    return value < 1 ? 1 : (int64_t)(value + 0.5);
}

int64_t lengths_at(const struct lengths *l, const uint32_t key[2], const uint32_t counter[4])
{
    uint32_t random[4];
    philox4x32(counter, key, random);
    return draw(l, random);
}
