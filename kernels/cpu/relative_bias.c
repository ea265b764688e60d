/* A relative position bias: distances fall into buckets, each with a learned value a head. */
#include "kernels/cpu/cpu.h"

#include <math.h>

/* The bucket of key position - query position, as Transformers' _relative_position_bucket
 * computes it, in float32 where that does: half the buckets are exact distances, the others
 * grow with the logarithm up to max_distance; all beyond share the last one. */
static int64_t bucket_of(int64_t distance, int64_t buckets, int64_t max_distance,
                         bool bidirectional)
{
    int64_t first = 0;
    if (bidirectional) {
        buckets /= 2;
        if (distance > 0) first = buckets;
        if (distance < 0) distance = -distance;
    } else {
        distance = distance < 0 ? -distance : 0;
    }
    const int64_t exact = buckets / 2;
    if (distance < exact) return first + distance;
    const float span = (float)log((double)max_distance / (double)exact);
    const float grown = logf((float)distance / (float)exact) / span * (float)(buckets - exact);
    /* Far past max_distance the value only has to stay comparable. */
    const int64_t bucket = grown < (float)buckets ? exact + (int64_t)grown : buckets - 1;
    return first + (bucket < buckets - 1 ? bucket : buckets - 1);
}

void cpu_relative_bias(struct queue *q, float *bias, const float *table, int64_t span,
                       int64_t heads, int64_t buckets, int64_t max_distance, bool bidirectional)
{
    (void)q;
    const int64_t width = 2 * span - 1;
    for (int64_t i = 0; i < width; i++) {
        const int64_t bucket = bucket_of(i - span + 1, buckets, max_distance, bidirectional);
        for (int64_t h = 0; h < heads; h++) bias[h * width + i] = table[bucket * heads + h];
    }
}

/* Ascending distance in every bucket. */
void cpu_relative_bias_backward(struct queue *q, float *dtable, const float *dbias, int64_t span,
                                int64_t heads, int64_t buckets, int64_t max_distance,
                                bool bidirectional)
{
    (void)q;
    const int64_t width = 2 * span - 1;
    for (int64_t i = 0; i < width; i++) {
        const int64_t bucket = bucket_of(i - span + 1, buckets, max_distance, bidirectional);
        for (int64_t h = 0; h < heads; h++) dtable[bucket * heads + h] += dbias[h * width + i];
    }
}
