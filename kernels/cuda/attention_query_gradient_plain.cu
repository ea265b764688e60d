/* The gradient of queries and bias, see attention_plain.cuh.  A block has a tile of query rows of
 * one head and goes over their keys twice, or once where the forward pass stored lse and out. */
#include "attention_plain.cuh"

enum { threads = plain_threads, warps = threads / 32 };

/* Shared memory of a block of query rows: q and dout [R], k and v [tile_keys] rows of head_dim,
 * then scores (later ds) and dp [R, tile_keys]. */
template <class P> struct query_tile {
    typedef typename P::element T;
    T *query, *dout, *key, *value;
    float *score, *dp;
};

/* Scores, then f(row, j, dp), of rows [first, last) with n keys of which the first is the segment's
 * j0-th; -inf and 0 where a row sees none. */
template <class P, int R, class F>
static __device__ inline void pairs_fill(const struct query_tile<P> &tile,
                                         const struct tile_rows<R> &rows, const struct attention &a,
                                         int64_t h, int first, int last, int j0, int n, const F &f)
{
    const int d = (int)a.head_dim;
    const auto sees = [&](int row, int j) { return j < n && j0 + j < rows.visible[row]; };
    P::template pairs<tile_keys>(
        tile.query, tile.key, first, last, n, d, sees, [&](int row, int j, float dot) {
            tile.score[row * score_stride + j] =
                sees(row, j) ? score_of(a, h, j0 + j, rows.position[row], dot) : -INFINITY;
        });
    P::template pairs<tile_keys>(tile.dout, tile.value, first, last, n, d, sees, f);
}

template <class P>
static __device__ inline void keys_load(const struct query_tile<P> &tile, const struct attention &a,
                                        int64_t h, int64_t key_row, int n, bool aligned)
{
    typedef typename P::element T;
    const int d = (int)a.head_dim, stride = P::stride(d);
    const int64_t column = key_column(a, h);
    tile_load(tile.key, stride, (const T *)a.k + key_row * a.k_stride + column, a.k_stride, n,
              P::padded(n), d, aligned);
    tile_load(tile.value, stride, (const T *)a.v + key_row * a.v_stride + column, a.v_stride, n,
              P::padded(n), d, aligned);
}

/* Running maximum, sum and sum of weighted dp of rows [first, last) over a tile: one warp a row. */
template <class P>
static __device__ inline void scales_add(const struct query_tile<P> &tile, struct row_scale *scale,
                                         int first, int last)
{
    const int lane = (int)threadIdx.x % 32;
    for (int row = first + (int)threadIdx.x / 32; row < last; row += warps) {
        const float *score = tile.score + row * score_stride, *dp = tile.dp + row * score_stride;
        const struct row_scale before = scale[row];
        const float s0 = score[lane], s1 = score[lane + 32];
        const float top = fmaxf(before.shift, warp_max(fmaxf(s0, s1)));
        const float e0 = s0 == -INFINITY ? 0.0f : expf(s0 - top);
        const float e1 = s1 == -INFINITY ? 0.0f : expf(s1 - top);
        const float rescale = before.shift == -INFINITY ? 0.0f : expf(before.shift - top);
        const float sum = warp_sum(e0 + e1);
        const float weighted = warp_sum(__fmaf_rn(e0, dp[lane], e1 * dp[lane + 32]));
        __syncwarp();
        if (lane == 0)
            scale[row] = {top, before.factor * rescale + sum, before.delta * rescale + weighted};
    }
}

/* From what the forward pass stored: weight = e^(score - lse), delta = dout . out. */
template <class P>
static __device__ inline void
scales_from_forward(const struct query_tile<P> &tile, struct row_scale *scale,
                    const struct attention &a, int64_t h, int64_t begin, int count)
{
    typedef typename P::element T;
    const int d = (int)a.head_dim, stride = P::stride(d), lane = (int)threadIdx.x % 32;
    for (int row = (int)threadIdx.x / 32; row < count; row += warps) {
        const T *out = (const T *)a.out + (begin + row) * a.heads * d + h * d;
        float delta = 0.0f;
        for (int i = lane; i < d; i += 32)
            delta =
                __fmaf_rn(element_load(tile.dout + row * stride + i), element_load(out + i), delta);
        delta = warp_sum(delta);
        if (lane == 0) scale[row] = {a.lse[(begin + row) * a.heads + h], 1.0f, delta};
    }
}

/* part[delta + span - 1] += sum over rows [first, last), ascending, of ds at key position + delta.
 * A thread has a diagonal. */
template <class P, int R>
static __device__ inline void diagonals_add(float *part, const struct query_tile<P> &tile,
                                            const struct tile_rows<R> &rows, int64_t span,
                                            int first, int last, int j0, int n)
{
    int lowest = rows.position[first], highest = lowest;
    for (int row = first + 1; row < last; row++) {
        lowest = min(lowest, rows.position[row]);
        highest = max(highest, rows.position[row]);
    }
    for (int distance = j0 - highest + (int)threadIdx.x; distance < j0 + n - lowest;
         distance += threads) {
        float sum = 0.0f;
        bool any = false;
        for (int row = first; row < last; row++) {
            const int j = rows.position[row] + distance;
            if (j < j0 || j >= j0 + n || j >= rows.visible[row]) continue;
            sum += tile.score[row * score_stride + j - j0];
            any = true;
        }
        if (any) part[distance + span - 1] += sum;
    }
}

/* D: columns of dq that threads share out, at least head_dim.
 * Blocks: tiles of R rows from first_row on, heads.  parts [tiles, heads, 2 span - 1] of dbias, or
 * NULL. */
template <class P, int R, int D>
static __global__ void __launch_bounds__(threads)
    attention_query_gradient_kernel(struct attention a, struct attention_gradients g,
                                    int64_t first_row, int64_t end_row,
                                    struct row_scale *__restrict__ scales,
                                    float *__restrict__ parts, bool aligned)
{
    typedef typename P::element T;
    __shared__ struct tile_rows<R> rows;
    __shared__ struct row_scale scale[R];
    const int thread = (int)threadIdx.x, d = (int)a.head_dim, stride = P::stride(d);
    const int64_t begin = first_row + (int64_t)blockIdx.x * R, h = blockIdx.y, head = h * d;
    const int64_t width = 2 * a.bias_span - 1;
    const int64_t end = min(end_row, (int64_t)a.query_begin[a.segments]); /* of any segment */
    const int count = (int)max(min((int64_t)R, end - begin), (int64_t)0);
    struct query_tile<P> tile;
    tile.query = dynamic_shared<T>();
    tile.dout = tile.query + R * stride;
    tile.key = tile.dout + R * stride;
    tile.value = tile.key + tile_keys * stride;
    tile.score = (float *)(tile.value + tile_keys * stride);
    tile.dp = tile.score + R * score_stride;
    float *part = parts ? parts + (blockIdx.x * a.heads + h) * width : nullptr;
    typename P::template sums<R, D, threads> dq;

    dq.clear();
    for (int64_t i = thread; part && i < width; i += threads) part[i] = 0.0f;
    tile_load(tile.query, stride, (const T *)a.q + begin * a.q_stride + head, a.q_stride, count,
              P::padded(count), d, aligned);
    tile_load(tile.dout, stride, (const T *)g.dout + begin * a.heads * d + head, a.heads * d, count,
              P::padded(count), d, aligned);
    if (thread < R) scale[thread] = {-INFINITY, 0.0f, 0.0f};
    tile_rows_find(rows, a, begin, count);
    const bool from_forward = a.lse && a.out;
    if (from_forward) scales_from_forward(tile, scale, a, h, begin, count);

    for (int first = 0, last, seen; first < count; first = last) {
        last = run_end(a, rows, first, count, &seen);
        const int64_t s = rows.segment[first];
        const struct key_tile start =
            key_tile_at(a, ranges_before(a, s), ranges_before(a, s + 1), 0);
        struct key_tile at = start;
        for (; at.first < seen && !from_forward; key_tile_advance(at, a, 1)) {
            const int j0 = at.first, n = key_tile_rows(at, seen);
            keys_load(tile, a, h, at.row, n, aligned);
            __syncthreads();
            pairs_fill(tile, rows, a, h, first, last, j0, n,
                       [&](int row, int j, float dp) { tile.dp[row * score_stride + j] = dp; });
            __syncthreads();
            scales_add(tile, scale, first, last);
            __syncthreads();
        }
        if (thread >= first && thread < last && !from_forward) {
            const struct row_scale sums = scale[thread];
            const float factor = rows.visible[thread] > 0 ? 1.0f / sums.factor : 0.0f;
            scale[thread] = {sums.shift, factor, sums.delta * factor};
        }
        for (at = start; at.first < seen; key_tile_advance(at, a, 1)) {
            const int j0 = at.first, n = key_tile_rows(at, seen);
            keys_load(tile, a, h, at.row, n, aligned);
            __syncthreads();
            pairs_fill(tile, rows, a, h, first, last, j0, n, [&](int row, int j, float dp) {
                float *score = tile.score + row * score_stride + j; /* becomes ds */
                const struct row_scale by = scale[row];
                *score = *score == -INFINITY
                             ? 0.0f
                             : expf(*score - by.shift) * by.factor * (dp - by.delta);
            });
            __syncthreads();
            dq.add(
                tile.key, n, d, [&](int row) { return row >= first && row < last; },
                [](int) { return 1.0f; },
                [&](int row, int j) { return tile.score[row * score_stride + j]; });
            if (part) diagonals_add(part, tile, rows, a.bias_span, first, last, j0, n);
            __syncthreads(); /* the tile may be overwritten */
        }
    }

    dq.visit(d, [&](int row, int column, float x) {
        if (row < count)
            element_store((T *)g.dq + (begin + row) * a.q_stride + head + column, x * a.scale);
    });
    __syncthreads(); /* scale is there, whoever found it */
    if (thread < count) scales[(begin + thread) * a.heads + h] = scale[thread];
}

/* dbias[i] += the tiles' parts, ascending. */
static __global__ void __launch_bounds__(threads)
    attention_bias_gradient_kernel(float *__restrict__ dbias, const float *__restrict__ parts,
                                   int64_t tiles, int64_t count)
{
    const int64_t i = (int64_t)blockIdx.x * threads + threadIdx.x;
    if (i >= count) return;
    float sum = 0.0f;
    for (int64_t t = 0; t < tiles; t++) sum += parts[t * count + i];
    dbias[i] += sum;
}

/* dq, scales and, in parts that fit the bound, dbias. */
template <class P, int R, int D>
static void query_gradient(struct queue *q, const struct attention *a,
                           const struct attention_gradients *g, struct row_scale *scales,
                           float *parts, int64_t tiles_at_once, bool aligned)
{
    const size_t row = (size_t)P::stride(a->head_dim) * sizeof(typename P::element);
    const size_t bytes = (2 * R + 2 * tile_keys) * row + 2 * R * score_stride * sizeof(float);
    const int64_t step = tiles_at_once * R, biases = a->heads * (2 * a->bias_span - 1);
    for (int64_t first = 0; first < a->query_rows; first += step) {
        const int64_t end = min(first + step, a->query_rows),
                      tiles = cuda_divide_up(end - first, R);
        cuda_launch(q, (attention_query_gradient_kernel<P, R, D>),
                    dim3((unsigned)tiles, (unsigned)a->heads), threads, bytes, *a, *g, first, end,
                    scales, parts, aligned);
        if (parts)
            cuda_launch(q, attention_bias_gradient_kernel, cuda_divide_up(biases, threads), threads,
                        0, g->dbias, parts, tiles, biases);
    }
}

template <class T>
static void query_gradient_of(struct queue *q, const struct attention *a,
                              const struct attention_gradients *g, struct row_scale *scales,
                              float *parts, int64_t tiles, bool aligned)
{
    if (a->head_dim <= 64)
        query_gradient<plain<T>, 32, 64>(q, a, g, scales, parts, tiles, aligned);
    else if (a->head_dim <= 128)
        query_gradient<plain<T>, 32, 128>(q, a, g, scales, parts, tiles, aligned);
    else
        query_gradient<plain<T>, 8, 256>(q, a, g, scales, parts, tiles, aligned);
}

void attention_query_gradient_plain(struct queue *q, const struct attention *a,
                                    const struct attention_gradients *g, struct row_scale *scales,
                                    float *parts, int64_t tiles_at_once, bool aligned)
{
    cuda_with_element(q,
                      query_gradient_of<element>(q, a, g, scales, parts, tiles_at_once, aligned));
}
