/* Vectors of VECTOR_LANES floats (defined by the file that includes this), exp and tanh, and
 * sums with one fixed order.  Plain multiplications and additions in gcc's generic vectors:
 * the same bits at every width, since no lane looks at another and nothing is contracted. */
#ifndef REGARD_KERNELS_CPU_VECTOR_MATH_H
#define REGARD_KERNELS_CPU_VECTOR_MATH_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#define VECTOR_BYTES (4 * VECTOR_LANES)
typedef float vec __attribute__((vector_size(VECTOR_BYTES)));
typedef int32_t vec_int __attribute__((vector_size(VECTOR_BYTES)));
typedef uint32_t vec_bits __attribute__((vector_size(VECTOR_BYTES)));

/* A sum has 16 lanes, element i in lane i mod 16, in blocks of 512 elements. */
enum { lanes = 16, lane_vectors = lanes / VECTOR_LANES, sum_block = 512 };

static inline vec vec_all(float x)
{
    return (vec){0} + x; /* x is never -0 here, or its sign does not matter */
}

static inline vec vec_at(const float *p)
{
    vec v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline void vec_put(float *p, vec v)
{
    memcpy(p, &v, sizeof v);
}

/* The first `left` of the vector at p; `fill` in the lanes past it. */
static inline vec vec_load(const float *p, int64_t left, float fill)
{
    if (left >= VECTOR_LANES) return vec_at(p);
    vec v = vec_all(fill);
    if (left > 0) memcpy(&v, p, (size_t)left * sizeof *p);
    return v;
}

static inline void vec_store(float *p, int64_t left, vec v)
{
    if (left >= VECTOR_LANES)
        vec_put(p, v);
    else if (left > 0)
        memcpy(p, &v, (size_t)left * sizeof *p);
}

static inline vec vec_select(vec_int mask, vec yes, vec no)
{
    return (vec)(((vec_int)yes & mask) | ((vec_int)no & ~mask));
}

static inline vec vec_max(vec a, vec b)
{
    return vec_select(a > b, a, b);
}

static inline float vec_largest(vec v)
{
    float largest = v[0];
    for (int i = 1; i < VECTOR_LANES; i++) largest = v[i] > largest ? v[i] : largest;
    return largest;
}

/* e^x: x = n log 2 + r, |r| <= log(2)/2, a polynomial in r (Cephes expf), times 2^n in two
 * steps.  Below 1.2e-38, the least normal number, the result is 0. */
static inline vec vec_exp(vec x)
{
    const float round_to_whole = 0x1.8p23f;
    vec t = x * 1.44269504088896341f + round_to_whole;
    vec n = t - round_to_whole;
    vec r = x - n * 0.693359375f; /* 9 bits: the product is exact */
    r = r - n * -2.12194440e-4f;
    vec p = r * 1.9875691500e-4f + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * (r * r) + r + 1.0f;
    vec_int whole = (vec_int)((vec_bits)t - 0x4B400000u); /* the bits of round_to_whole */
    vec_int half = whole >> 1;
    vec_bits rest = (vec_bits)whole - (vec_bits)half;
    p = p * (vec)(((vec_bits)half + 127u) << 23);
    p = p * (vec)((rest + 127u) << 23);
    p = vec_select(x < -87.3365f, vec_all(0.0f), p);
    return vec_select(x > 88.7228f, vec_all(INFINITY), p);
}

/* log x of normal numbers, Cephes logf: x = m 2^n, m in [sqrt(1/2), sqrt(2)). */
static inline vec vec_log(vec x)
{
    const vec_int bits = (vec_int)x;
    vec_int whole = ((bits >> 23) & 255) - 126;
    vec m = (vec)((bits & 0x007FFFFF) | 0x3F000000); /* [1/2, 1) */
    const vec_int small = m < 0.707106781186547524f;
    whole += small; /* -1 where small */
    m = m + vec_select(small, m, vec_all(0.0f)) - 1.0f;
    const vec n = __builtin_convertvector(whole, vec), z = m * m;
    vec y = m * 7.0376836292e-2f - 1.1514610310e-1f;
    y = y * m + 1.1676998740e-1f;
    y = y * m - 1.2420140846e-1f;
    y = y * m + 1.4249322787e-1f;
    y = y * m - 1.6668057665e-1f;
    y = y * m + 2.0000714765e-1f;
    y = y * m - 2.4999993993e-1f;
    y = y * m + 3.3333331174e-1f;
    y = y * m * z + n * -2.12194440e-4f - z * 0.5f;
    return m + y + n * 0.693359375f;
}

/* Cephes tanhf below 0.625, 1 - 2 / (e^2|x| + 1) above. */
static inline vec vec_tanh(vec x)
{
    const vec_int sign = (vec_int)x & INT32_MIN;
    vec a = (vec)((vec_int)x & INT32_MAX);
    vec z = x * x;
    vec small = z * -5.70498872745e-3f + 2.06390887954e-2f;
    small = small * z - 5.37397155531e-2f;
    small = small * z + 1.33314422036e-1f;
    small = small * z - 3.33332819422e-1f;
    small = small * z * x + x;
    vec large = 1.0f - 2.0f / (vec_exp(a + a) + 1.0f);
    large = (vec)((vec_int)large | sign);
    return vec_select(a < 0.625f, small, large);
}

/* The 16 lanes of one block, added as a tree: halves, quarters, ... */
static inline float lanes_total(const vec sum[lane_vectors])
{
    float x[lanes];
    memcpy(x, sum, sizeof x);
    for (int half = lanes / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++) x[i] += x[i + half];
    return x[0];
}

#endif
