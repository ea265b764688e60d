/* Products with a weight of less than 8 rows or columns: a value head, mostly.  Each sum has one
 * order, which is written here. */
#include "cuda.cuh"
#include "product.cuh"
#include "reduce.cuh"

/* strands: threads that share the sum of one element of a weight's gradient. */
enum { threads = 256, warps = threads / 32, strands = warps, short_depth = 8 };

struct thin_product {
    int64_t rows, columns, depth;
    bool right_transposed, accumulate, relu;
};

template <class C> static __device__ void thin_store(C *c, float sum, const struct thin_product &p)
{
    if (p.accumulate) sum += element_load(c);
    element_store(c, p.relu && sum <= 0.0f ? 0.0f : sum);
}

/* depth < 8: one thread an element of c, which adds up in order. */
template <class T, class C>
static __global__ void __launch_bounds__(threads)
    matmul_short_kernel(C *c, const T *left, const T *right, struct thin_product p)
{
    const int64_t at = (int64_t)blockIdx.x * threads + threadIdx.x;
    if (at >= p.rows * p.columns) return;
    const int64_t i = at / p.columns, j = at % p.columns;
    float sum = 0.0f;
    for (int64_t k = 0; k < p.depth; k++) {
        const T *factor = right + (p.right_transposed ? j * p.depth + k : k * p.columns + j);
        sum = __fmaf_rn(element_load(left + i * p.depth + k), element_load(factor), sum);
    }
    thin_store(c + at, sum, p);
}

/* columns < 8: one warp an element of c.  Lane l adds l, l + 32, ..., then the lanes by halves. */
template <class T, class C>
static __global__ void __launch_bounds__(threads)
    matmul_narrow_kernel(C *c, const T *left, const T *right, struct thin_product p)
{
    const int64_t at = (int64_t)blockIdx.x * warps + threadIdx.x / 32;
    if (at >= p.rows * p.columns) return;
    const int64_t i = at / p.columns, j = at % p.columns;
    float sum = 0.0f;
    for (int64_t k = threadIdx.x % 32; k < p.depth; k += 32) {
        const T *factor = right + (p.right_transposed ? j * p.depth + k : k * p.columns + j);
        sum = __fmaf_rn(element_load(left + i * p.depth + k), element_load(factor), sum);
    }
    sum = warp_sum(sum);
    if (threadIdx.x % 32 == 0) thin_store(c + at, sum, p);
}

/* The gradient of a weight, left [depth, rows] and right [depth, columns]: a block has 32 elements
 * of c in 8 strands.  Strand s adds s, s + 8, ..., then the first one adds the others in order. */
template <class T>
static __global__ void __launch_bounds__(threads)
    matmul_thin_gradient_kernel(float *c, const T *left, const T *right, struct thin_product p)
{
    __shared__ float part[strands][32];
    const int lane = threadIdx.x % 32, strand = threadIdx.x / 32;
    const int64_t at = (int64_t)blockIdx.x * 32 + lane;
    const bool present = at < p.rows * p.columns;
    const int64_t i = at / p.columns, j = at % p.columns;
    float sum = 0.0f;
    for (int64_t k = strand; present && k < p.depth; k += strands)
        sum = __fmaf_rn(element_load(left + k * p.rows + i),
                        element_load(right + k * p.columns + j), sum);
    part[strand][lane] = sum;
    __syncthreads();
    if (strand > 0 || !present) return;
    for (int s = 1; s < strands; s++) sum += part[s][lane];
    thin_store(c + at, sum, p);
}

template <class T, class C>
static void multiply_rows(struct queue *q, C *c, const T *left, const T *right,
                          const struct thin_product &p)
{
    const int64_t elements = p.rows * p.columns;
    if (p.depth < short_depth)
        cuda_launch(q, (matmul_short_kernel<T, C>), cuda_divide_up(elements, threads), threads, 0,
                    c, left, right, p);
    else
        cuda_launch(q, (matmul_narrow_kernel<T, C>), cuda_divide_up(elements, warps), threads, 0, c,
                    left, right, p);
}

void cuda_multiply_thin(struct queue *q, const struct product *p)
{
    const struct thin_product thin = {p->rows,       p->columns, p->depth, p->right_transposed,
                                      p->accumulate, p->relu};
    cuda_with_element(q, const element *left = (const element *)p->left,
                      *right = (const element *)p->right;
                      if (!p->by_rows) cuda_launch(q, matmul_thin_gradient_kernel<element>,
                                                   cuda_divide_up(p->rows * p->columns, 32),
                                                   threads, 0, (float *)p->c, left, right, thin);
                      else if (p->c_is_float) multiply_rows(q, (float *)p->c, left, right, thin);
                      else multiply_rows(q, (element *)p->c, left, right, thin));
}
