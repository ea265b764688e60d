/* Rows of a table by index, and the gradient's way back: no atomics, so that equal inputs give
 * equal bits. */
#include "cuda.cuh"

enum { threads = 256, warps = threads / 32 };

/* One block a row. */
template <class T>
static __global__ void __launch_bounds__(threads)
    embedding_kernel(T *__restrict__ y, const float *__restrict__ table,
                     const int32_t *__restrict__ ids, int64_t d, int *__restrict__ mistake)
{
    const int64_t row = blockIdx.x, id = ids[row];
    if (id < 0) {
        if (threadIdx.x == 0) mistake_raise(mistake, CUDA_MISTAKE_TOKEN);
        return;
    }
    for (int64_t i = threadIdx.x; i < d; i += threads)
        element_store(y + row * d + i, table[id * d + i]);
}

/* Blocks: places of ids, columns.  The block of a token's first place adds all of its places,
 * ascending; the others have nothing to do. */
template <class T>
static __global__ void __launch_bounds__(threads)
    embedding_backward_kernel(float *__restrict__ dtable, const T *__restrict__ dy,
                              const int32_t *__restrict__ ids, int64_t m, int64_t d)
{
    __shared__ unsigned found[warps]; /* places of the token among 256, a bit each */
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const int64_t first = blockIdx.x, column = (int64_t)blockIdx.y * threads + threadIdx.x;
    const int64_t id = ids[first];
    bool earlier = id < 0;
    for (int64_t i = threadIdx.x; i < first; i += threads) earlier |= ids[i] == id;
    const unsigned lanes = __ballot_sync(0xffffffffu, earlier);
    if (lane == 0) found[warp] = lanes;
    __syncthreads();
    unsigned any = 0;
    for (int w = 0; w < warps; w++) any |= found[w];
    if (any) return;
    float sum = column < d ? dtable[id * d + column] : 0.0f;
    for (int64_t begin = first; begin < m; begin += threads) {
        const int64_t i = begin + threadIdx.x;
        __syncthreads(); /* found has been read */
        const unsigned places = __ballot_sync(0xffffffffu, i < m && ids[i] == id);
        if (lane == 0) found[warp] = places;
        __syncthreads();
        if (column >= d) continue;
        for (int w = 0; w < warps; w++)
            for (unsigned left = found[w]; left; left &= left - 1)
                sum += element_load(dy + (begin + 32 * w + __ffs((int)left) - 1) * d + column);
    }
    if (column < d) dtable[id * d + column] = sum;
}

void cuda_embedding(struct queue *q, real *y, const float *table, const int32_t *ids, int64_t m,
                    int64_t d)
{
    if (m == 0) return;
    cuda_with_element(q, cuda_launch(q, embedding_kernel<element>, m, threads, 0, (element *)y,
                                     table, ids, d, cuda_queue_of(q)->mistake));
}

void cuda_embedding_backward(struct queue *q, float *dtable, const real *dy, const int32_t *ids,
                             int64_t m, int64_t d)
{
    if (m == 0 || d == 0) return;
    const dim3 grid((unsigned)m, (unsigned)cuda_divide_up(d, threads));
    cuda_with_element(q, cuda_launch(q, embedding_backward_kernel<element>, grid, threads, 0,
                                     dtable, (const element *)dy, ids, m, d));
}
