/* The gradient of keys and values, see attention_plain.cuh.  A block has some rows of k and v and
 * goes over the heads of q that read them, and for each over the query rows of every range that
 * holds some of them, ranges (and so segments) ascending: each sum has one order. */
#include "attention_plain.cuh"

enum {
    threads = plain_threads,
    query_rows = 32, /* that a block looks at together */
    pair_stride = query_rows + 1
};

/* The bits of the R keys from `begin` on that are in range r. */
template <int R>
static __device__ inline unsigned keys_of(const struct attention &a, int64_t r, int64_t begin)
{
    const int64_t first = max((int64_t)a.key_begin[r] - begin, (int64_t)0);
    const int64_t end = min((int64_t)a.key_end[r] - begin, (int64_t)R);
    return first >= end ? 0u : (0xffffffffu >> (32 - (end - first))) << first;
}

/* Blocks: R <= 32 rows of k and v, a bit each in a word; heads of theirs.  Shared memory: k and v
 * [R], q and dout [query_rows] rows of head_dim, then weights and ds [query_rows, R]. */
template <class P, int R, int D>
static __global__ void __launch_bounds__(threads)
    attention_key_gradient_kernel(struct attention a, struct attention_gradients g,
                                  const struct row_scale *__restrict__ scales, bool aligned)
{
    typedef typename P::element T;
    __shared__ unsigned read, of_range[threads];
    __shared__ struct row_scale scale[query_rows];
    const int thread = (int)threadIdx.x, d = (int)a.head_dim, stride = P::stride(d);
    const int64_t begin = (int64_t)blockIdx.x * R, column = (int64_t)blockIdx.y * d;
    const int64_t each = a.heads / a.kv_heads, head = blockIdx.y * each;
    const int32_t ranges = ranges_before(a, a.segments);
    const int count = (int)min((int64_t)R, g.key_rows - begin);
    T *key = dynamic_shared<T>(), *value = key + R * stride;
    T *query = value + R * stride, *dout = query + query_rows * stride;
    float *weight = (float *)(dout + query_rows * stride);
    float *ds = weight + query_rows * pair_stride;
    typename P::template sums<R, D, threads> dk, dv;

    dk.clear(), dv.clear();
    if (thread == 0) read = 0;
    __syncthreads();
    for (int32_t r = thread; r < ranges; r += threads) {
        const unsigned keys = keys_of<R>(a, r, begin);
        if (keys) atomicOr(&read, keys);
    }
    __syncthreads();
    const unsigned any = read;
    if (!any) return;
    tile_load(key, stride, (const T *)a.k + begin * a.k_stride + column, a.k_stride, count,
              P::padded(count), d, aligned, any);
    tile_load(value, stride, (const T *)a.v + begin * a.v_stride + column, a.v_stride, count,
              P::padded(count), d, aligned, any);

    for (int64_t h = head; h < head + each; h++)
        for (int32_t r = 0; r < ranges; r++) {
            if (r % threads == 0) {
                __syncthreads(); /* of_range has been read */
                if (r + thread < ranges) of_range[thread] = keys_of<R>(a, r + thread, begin);
                __syncthreads();
            }
            const unsigned keys = of_range[r % threads];
            if (!keys) continue;
            const int64_t s = segment_of_range(a, r), first = a.query_begin[s];
            const int64_t end = a.query_begin[s + 1];
            /* Row x of k is key x - key_first of the segment. */
            const int64_t key_first = a.key_begin[r] - keys_count(a, ranges_before(a, s), r);
            const int64_t behind = a.causal ? keys_of_segment(a, s) - (end - first) : 0;
            for (int64_t row = first; row < end; row += query_rows) {
                const int n = (int)min((int64_t)query_rows, end - row);
                tile_load(query, stride, (const T *)a.q + row * a.q_stride + h * d, a.q_stride, n,
                          P::padded(n), d, aligned);
                tile_load(dout, stride, (const T *)g.dout + row * a.heads * d + h * d, a.heads * d,
                          n, P::padded(n), d, aligned);
                if (thread < n) scale[thread] = scales[(row + thread) * a.heads + h];
                __syncthreads();
                const auto position = [&](int i) { return row + i - first + behind; };
                const auto sees = [&](int i, int c) {
                    return (keys >> c & 1) && (!a.causal || begin + c - key_first <= position(i));
                };
                P::template pairs<R>(
                    query, key, 0, n, count, d, sees, [&](int i, int c, float dot) {
                        float w = 0.0f;
                        if (sees(i, c))
                            w = expf(score_of(a, h, begin + c - key_first, position(i), dot) -
                                     scale[i].shift) *
                                scale[i].factor;
                        weight[i * pair_stride + c] = w;
                    });
                P::template pairs<R>(dout, value, 0, n, count, d, sees,
                                     [&](int i, int c, float dp) {
                                         ds[i * pair_stride + c] =
                                             weight[i * pair_stride + c] * (dp - scale[i].delta);
                                     });
                __syncthreads();
                const auto is_read = [&](int c) { return (keys >> c & 1) != 0; };
                const auto one = [](int) { return 1.0f; };
                dk.add(query, n, d, is_read, one,
                       [&](int c, int i) { return ds[i * pair_stride + c]; });
                dv.add(dout, n, d, is_read, one,
                       [&](int c, int i) { return weight[i * pair_stride + c]; });
                __syncthreads(); /* the tiles may be overwritten */
            }
        }

    const auto put = [&](T *to, float x) {
        element_store(to, x + (g.accumulate_kv ? element_load(to) : 0.0f));
    };
    dk.visit(d, [&](int c, int i, float x) {
        if (any >> c & 1) put((T *)g.dk + (begin + c) * a.k_stride + column + i, x * a.scale);
    });
    dv.visit(d, [&](int c, int i, float x) {
        if (any >> c & 1) put((T *)g.dv + (begin + c) * a.v_stride + column + i, x);
    });
}

template <class P, int R, int D>
static void key_gradient(struct queue *q, const struct attention *a,
                         const struct attention_gradients *g, const struct row_scale *scales,
                         bool aligned)
{
    const size_t row = (size_t)P::stride(a->head_dim) * sizeof(typename P::element);
    const size_t bytes =
        (2 * R + 2 * query_rows) * row + 2 * query_rows * pair_stride * sizeof(float);
    const dim3 grid((unsigned)cuda_divide_up(g->key_rows, R), (unsigned)a->kv_heads);
    cuda_launch(q, (attention_key_gradient_kernel<P, R, D>), grid, threads, bytes, *a, *g, scales,
                aligned);
}

template <class T>
static void key_gradient_of(struct queue *q, const struct attention *a,
                            const struct attention_gradients *g, const struct row_scale *scales,
                            bool aligned)
{
    if (a->head_dim <= 64)
        key_gradient<plain<T>, 32, 64>(q, a, g, scales, aligned);
    else if (a->head_dim <= 128)
        key_gradient<plain<T>, 32, 128>(q, a, g, scales, aligned);
    else
        key_gradient<plain<T>, 8, 256>(q, a, g, scales, aligned);
}

void attention_key_gradient_plain(struct queue *q, const struct attention *a,
                                  const struct attention_gradients *g,
                                  const struct row_scale *scales, bool aligned)
{
    cuda_with_element(q, key_gradient_of<element>(q, a, g, scales, aligned));
}
