/* The gated activation of T5 v1.1: y = gelu(gate) up, gelu(g) = g/2 (1 + tanh(sqrt(2/pi)
 * (g + 0.044715 g^3))).  x is [m, 2f]: gate, then up. */
#include "cuda.cuh"

enum { threads = 256 };

constexpr float root = 0.7978845608028654f, cubic = 0.044715f; /* sqrt(2/pi) */

static __device__ inline float gelu_tanh(float g)
{
    return tanhf(root * (g + cubic * g * g * g));
}

/* Blocks: rows, columns. */
template <class T>
static __global__ void __launch_bounds__(threads)
    gated_gelu_kernel(T *__restrict__ y, const T *__restrict__ x, int64_t f)
{
    const int64_t row = blockIdx.x, column = (int64_t)blockIdx.y * threads + threadIdx.x;
    if (column >= f) return;
    const float g = element_load(x + 2 * row * f + column);
    const float up = element_load(x + (2 * row + 1) * f + column);
    element_store(y + row * f + column, 0.5f * g * (1.0f + gelu_tanh(g)) * up);
}

template <class T>
static __global__ void __launch_bounds__(threads)
    gated_gelu_backward_kernel(T *__restrict__ dx, const T *__restrict__ dy,
                               const T *__restrict__ x, int64_t f)
{
    const int64_t row = blockIdx.x, column = (int64_t)blockIdx.y * threads + threadIdx.x;
    if (column >= f) return;
    const int64_t gate = 2 * row * f + column;
    const float g = element_load(x + gate), up = element_load(x + gate + f);
    const float d = element_load(dy + row * f + column), t = gelu_tanh(g);
    const float falling = 1.0f - t * t; /* 0 far out, where its factor may be infinite */
    float slope = 0.5f * (1.0f + t);
    if (falling > 0.0f) slope += 0.5f * g * falling * root * (1.0f + 3.0f * cubic * g * g);
    element_store(dx + gate, d * up * slope);
    element_store(dx + gate + f, d * 0.5f * g * (1.0f + t));
}

void cuda_gated_gelu(struct queue *q, real *y, const real *x, int64_t m, int64_t f)
{
    if (m == 0) return;
    const dim3 grid((unsigned)m, (unsigned)cuda_divide_up(f, threads));
    cuda_with_element(q, cuda_launch(q, gated_gelu_kernel<element>, grid, threads, 0, (element *)y,
                                     (const element *)x, f));
}

void cuda_gated_gelu_backward(struct queue *q, real *dx, const real *dy, const real *x, int64_t m,
                              int64_t f)
{
    if (m == 0) return;
    const dim3 grid((unsigned)m, (unsigned)cuda_divide_up(f, threads));
    cuda_with_element(q, cuda_launch(q, gated_gelu_backward_kernel<element>, grid, threads, 0,
                                     (element *)dx, (const element *)dy, (const element *)x, f));
}
