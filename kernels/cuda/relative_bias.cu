/* A relative position bias: distances fall into buckets, each with a learned value a head. */
#include "cuda.cuh"

enum { threads = 256 };

struct distances {
    int64_t span, buckets, max_distance;
    bool bidirectional;
};

/* The CPU's bucket_of (kernels/cpu/relative_bias.c), which says where it comes from.  Some
 * distances lie on a bucket's edge to the last bit, so logarithms are taken in float64 and rounded:
 * that is what a good logf gives, and CUDA's does not always. */
static __device__ inline int64_t bucket_of(const struct distances &all, int64_t distance)
{
    int64_t buckets = all.buckets, first = 0;
    if (all.bidirectional) {
        buckets /= 2;
        if (distance > 0) first = buckets;
        if (distance < 0) distance = -distance;
    } else {
        distance = distance < 0 ? -distance : 0;
    }
    const int64_t exact = buckets / 2;
    if (distance < exact) return first + distance;
    const float span = (float)log((double)all.max_distance / (double)exact);
    const float logarithm = (float)log((double)((float)distance / (float)exact));
    const float grown = logarithm / span * (float)(buckets - exact);
    const int64_t bucket = grown < (float)buckets ? exact + (int64_t)grown : buckets - 1;
    return first + (bucket < buckets - 1 ? bucket : buckets - 1);
}

/* bias[heads, 2 span - 1], table[buckets, heads].  A thread has one distance.  */
static __global__ void __launch_bounds__(threads)
    relative_bias_kernel(float *__restrict__ bias, const float *__restrict__ table,
                         struct distances all, int64_t heads)
{
    const int64_t width = 2 * all.span - 1, i = (int64_t)blockIdx.x * threads + threadIdx.x;
    if (i >= width) return;
    const int64_t bucket = bucket_of(all, i - all.span + 1);
    for (int64_t h = 0; h < heads; h++) bias[h * width + i] = table[bucket * heads + h];
}

/* A thread has one element of dtable and adds to it in ascending distance. */
static __global__ void __launch_bounds__(threads)
    relative_bias_backward_kernel(float *__restrict__ dtable, const float *__restrict__ dbias,
                                  struct distances all, int64_t heads)
{
    __shared__ int32_t bucket[threads];
    const int64_t width = 2 * all.span - 1, item = (int64_t)blockIdx.x * threads + threadIdx.x;
    const int64_t mine = item / heads, h = item % heads;
    const bool active = item < all.buckets * heads;
    float sum = active ? dtable[item] : 0.0f;
    for (int64_t begin = 0; begin < width; begin += threads) {
        const int64_t i = begin + threadIdx.x, count = min((int64_t)threads, width - begin);
        if (i < width) bucket[threadIdx.x] = (int32_t)bucket_of(all, i - all.span + 1);
        __syncthreads();
        for (int64_t n = 0; active && n < count; n++)
            if (bucket[n] == mine) sum += dbias[h * width + begin + n];
        __syncthreads();
    }
    if (active) dtable[item] = sum;
}

void cuda_relative_bias(struct queue *q, float *bias, const float *table, int64_t span,
                        int64_t heads, int64_t buckets, int64_t max_distance, bool bidirectional)
{
    if (span == 0) return;
    const struct distances all = {span, buckets, max_distance, bidirectional};
    cuda_launch(q, relative_bias_kernel, cuda_divide_up(2 * span - 1, threads), threads, 0, bias,
                table, all, heads);
}

void cuda_relative_bias_backward(struct queue *q, float *dtable, const float *dbias, int64_t span,
                                 int64_t heads, int64_t buckets, int64_t max_distance,
                                 bool bidirectional)
{
    if (span == 0) return;
    const struct distances all = {span, buckets, max_distance, bidirectional};
    cuda_launch(q, relative_bias_backward_kernel, cuda_divide_up(buckets * heads, threads), threads,
                0, dtable, dbias, all, heads);
}
