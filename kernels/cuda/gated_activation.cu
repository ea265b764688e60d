/* The gated activation: y = activation(gate) up (kernels/ops.h).  x is [m, 2f]: gate, then up. */
#include "octet.cuh"

enum { threads = 128 };

constexpr float root = 0.7978845608028654f, cubic = 0.044715f; /* sqrt(2/pi) */

static __device__ inline float gelu_tanh(float g)
{
    return tanhf(root * (g + cubic * g * g * g));
}

/* Of an activation: value(g, up) = activation(g) up; slope: its gradient of g and of up, times d.
 */
struct gelu {
    static __device__ inline float value(float g, float up)
    {
        return 0.5f * g * (1.0f + gelu_tanh(g)) * up;
    }
    static __device__ inline float2 slope(float g, float up, float d)
    {
        const float t = gelu_tanh(g);
        const float falling = 1.0f - t * t; /* 0 far out, where its factor may be infinite */
        float slope = 0.5f * (1.0f + t);
        if (falling > 0.0f) slope += 0.5f * g * falling * root * (1.0f + 3.0f * cubic * g * g);
        return make_float2(d * up * slope, d * 0.5f * g * (1.0f + t));
    }
};
struct silu {
    static __device__ inline float value(float g, float up)
    {
        return g / (1.0f + expf(-g)) * up;
    }
    static __device__ inline float2 slope(float g, float up, float d)
    {
        const float below = 1.0f + expf(-g), s = 1.0f / below;
        return make_float2(d * up * (s * fmaf(g, 1.0f - s, 1.0f)), d * (g / below));
    }
};

/* Blocks: rows, columns.  A thread has eight neighbours, moved at once where `vectorized` (f is a
 * multiple of 8 then). */
template <class A, class T>
static __global__ void __launch_bounds__(threads)
    gated_kernel(T *__restrict__ y, const T *__restrict__ x, int64_t f, bool vectorized)
{
    const int64_t row = blockIdx.x, first = 8 * ((int64_t)blockIdx.y * threads + threadIdx.x);
    const T *gate = x + 2 * row * f, *up = gate + f;
    y += row * f;
    if (vectorized && first < f) {
        const octet<T> g = octet_load(gate + first), u = octet_load(up + first);
        octet<T> out;
        GPU_UNROLL
        for (int k = 0; k < 8; k++)
            element_store(out.v + k, A::value(element_load(g.v + k), element_load(u.v + k)));
        octet_store(y + first, out);
        return;
    }
    for (int64_t i = first; i < first + 8 && i < f; i++)
        element_store(y + i, A::value(element_load(gate + i), element_load(up + i)));
}

template <class A, class T>
static __global__ void __launch_bounds__(threads)
    gated_backward_kernel(T *__restrict__ dx, const T *__restrict__ dy, const T *__restrict__ x,
                          int64_t f, bool vectorized)
{
    const int64_t row = blockIdx.x, first = 8 * ((int64_t)blockIdx.y * threads + threadIdx.x);
    const T *gate = x + 2 * row * f, *up = gate + f;
    T *dgate = dx + 2 * row * f, *dup = dgate + f;
    dy += row * f;
    if (vectorized && first < f) {
        const octet<T> g = octet_load(gate + first), u = octet_load(up + first);
        const octet<T> d = octet_load(dy + first);
        octet<T> out_gate, out_up;
        GPU_UNROLL
        for (int k = 0; k < 8; k++) {
            const float2 slope =
                A::slope(element_load(g.v + k), element_load(u.v + k), element_load(d.v + k));
            element_store(out_gate.v + k, slope.x);
            element_store(out_up.v + k, slope.y);
        }
        octet_store(dgate + first, out_gate);
        octet_store(dup + first, out_up);
        return;
    }
    for (int64_t i = first; i < first + 8 && i < f; i++) {
        const float2 slope =
            A::slope(element_load(gate + i), element_load(up + i), element_load(dy + i));
        element_store(dgate + i, slope.x);
        element_store(dup + i, slope.y);
    }
}

/* Runs the statement with `element` as the type of `real` and `gate` as the activation. */
#define with_gate(q, activation, ...)                                                              \
    do {                                                                                           \
        if ((activation) == ACTIVATION_SILU) {                                                     \
            using gate = silu;                                                                     \
            cuda_with_element(q, __VA_ARGS__);                                                     \
        } else {                                                                                   \
            using gate = gelu;                                                                     \
            cuda_with_element(q, __VA_ARGS__);                                                     \
        }                                                                                          \
    } while (0)

void cuda_gated_activation(struct queue *q, enum activation activation, real *y, const real *x,
                           int64_t m, int64_t f)
{
    if (m == 0) return;
    const dim3 grid((unsigned)m, (unsigned)cuda_divide_up(f, 8 * threads));
    const bool vectorized = octets_fit(f, (char *)y, (const char *)x);
    with_gate(q, activation,
              cuda_launch(q, (gated_kernel<gate, element>), grid, threads, 0, (element *)y,
                          (const element *)x, f, vectorized));
}

void cuda_gated_activation_backward(struct queue *q, enum activation activation, real *dx,
                                    const real *dy, const real *x, int64_t m, int64_t f)
{
    if (m == 0) return;
    const dim3 grid((unsigned)m, (unsigned)cuda_divide_up(f, 8 * threads));
    const bool vectorized = octets_fit(f, (char *)dx, (const char *)dy, (const char *)x);
    with_gate(q, activation,
              cuda_launch(q, (gated_backward_kernel<gate, element>), grid, threads, 0,
                          (element *)dx, (const element *)dy, (const element *)x, f, vectorized));
}
