/* Gradients of attention.  Weights are computed again tile by tile; there is no buffer of queries
 * times keys.  With w the weights and dp = dout v^T:
 *   ds = w (dp - delta), delta = sum(w dp) = dout . out;
 *   dq = ds k;  dk += ds^T q;  dv += w^T dout;  dbias += ds along its diagonals.
 * Blocks of query rows give dq, each row's scale and their own part of dbias; blocks of keys then
 * go over the query rows in order for dk and dv.  No atomics: every sum has one order. */
#include "attention.cuh"

enum {
    threads = 256,
    warps = threads / 32,
    key_rows = 32,   /* of a block of keys: a bit each in a word */
    query_rows = 32, /* that such a block looks at together */
    pair_stride = query_rows + 1,
    parts_bytes = 16 << 20 /* of dbias in parts, at a time */
};

/* Of one row and head: weight = e^(score - shift) factor. */
struct row_scale {
    float shift, factor, delta;
};

/* Shared memory of a block of query rows: q and dout [R], k and v [tile_keys] rows of head_dim,
 * then scores (later ds) and dp [R, tile_keys]. */
template <class P> struct query_tile {
    typedef typename P::element T;
    T *query, *dout, *key, *value;
    float *score, *dp;
};

/* Scores, then f(row, j, dp), of rows [first, last) with n keys from j0 on; -inf and 0 where a row
 * sees none. */
template <class P, int R, class F>
static __device__ inline void pairs_fill(const struct query_tile<P> &tile,
                                         const struct tile_rows<R> &rows, const struct attention &a,
                                         int64_t h, int first, int last, int j0, int n, const F &f)
{
    const int d = (int)a.head_dim;
    const auto sees = [&](int row, int j) { return j0 + j < rows.visible[row]; };
    P::template pairs<tile_keys>(
        tile.query, tile.key, first, last, n, d, sees, [&](int row, int j, float score) {
            if (a.bias && sees(row, j)) score += bias_of(a, h, j0 + j, rows.position[row]);
            tile.score[row * score_stride + j] = sees(row, j) ? score : -INFINITY;
        });
    P::template pairs<tile_keys>(tile.dout, tile.value, first, last, n, d, sees, f);
}

template <class P>
static __device__ inline void keys_load(const struct query_tile<P> &tile, const struct attention &a,
                                        int64_t h, int64_t key_row, int n, bool wide)
{
    typedef typename P::element T;
    const int d = (int)a.head_dim, stride = P::stride(d);
    tile_load(tile.key, stride, (const T *)a.k + key_row * a.k_stride + h * d, a.k_stride, n,
              P::padded(n), d, wide);
    tile_load(tile.value, stride, (const T *)a.v + key_row * a.v_stride + h * d, a.v_stride, n,
              P::padded(n), d, wide);
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
        const float less = before.shift == -INFINITY ? 0.0f : expf(before.shift - top);
        const float sum = warp_sum(e0 + e1);
        const float weighted = warp_sum(__fmaf_rn(e0, dp[lane], e1 * dp[lane + 32]));
        __syncwarp();
        if (lane == 0)
            scale[row] = {top, before.factor * less + sum, before.delta * less + weighted};
    }
}

/* From what the forward pass kept: weight = e^(score - lse), delta = dout . out. */
template <class P>
static __device__ inline void scales_recall(const struct query_tile<P> &tile,
                                            struct row_scale *scale, const struct attention &a,
                                            int64_t h, int64_t begin, int count)
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
    for (int apart = j0 - highest + (int)threadIdx.x; apart < j0 + n - lowest; apart += threads) {
        float sum = 0.0f;
        bool any = false;
        for (int row = first; row < last; row++) {
            const int j = rows.position[row] + apart;
            if (j < j0 || j >= j0 + n || j >= rows.visible[row]) continue;
            sum += tile.score[row * score_stride + j - j0];
            any = true;
        }
        if (any) part[apart + span - 1] += sum;
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
                                    float *__restrict__ parts, bool wide)
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
              P::padded(count), d, wide);
    tile_load(tile.dout, stride, (const T *)g.dout + begin * a.heads * d + head, a.heads * d, count,
              P::padded(count), d, wide);
    if (thread < R) scale[thread] = {-INFINITY, 0.0f, 0.0f};
    tile_rows_find(rows, a, begin, count);
    const bool recall = a.lse && a.out;
    if (recall) scales_recall(tile, scale, a, h, begin, count);

    for (int first = 0, last, seen; first < count; first = last) {
        last = run_end(rows, first, count, &seen);
        for (int j0 = 0; j0 < seen && !recall; j0 += tile_keys) {
            const int n = min((int)tile_keys, seen - j0);
            keys_load(tile, a, h, rows.key_begin[first] + j0, n, wide);
            __syncthreads();
            pairs_fill(tile, rows, a, h, first, last, j0, n,
                       [&](int row, int j, float dp) { tile.dp[row * score_stride + j] = dp; });
            __syncthreads();
            scales_add(tile, scale, first, last);
            __syncthreads();
        }
        if (thread >= first && thread < last && !recall) {
            const struct row_scale sums = scale[thread];
            const float factor = rows.visible[thread] > 0 ? 1.0f / sums.factor : 0.0f;
            scale[thread] = {sums.shift, factor, sums.delta * factor};
        }
        for (int j0 = 0; j0 < seen; j0 += tile_keys) {
            const int n = min((int)tile_keys, seen - j0);
            keys_load(tile, a, h, rows.key_begin[first] + j0, n, wide);
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
        if (row < count) element_store((T *)g.dq + (begin + row) * a.q_stride + head + column, x);
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

/* The bits of keys [begin, begin + key_rows) that segment s reads. */
static __device__ inline unsigned keys_of(const struct attention &a, int64_t s, int64_t begin)
{
    const int64_t first = max((int64_t)a.key_begin[s] - begin, (int64_t)0);
    const int64_t end = min((int64_t)a.key_end[s] - begin, (int64_t)key_rows);
    return first >= end ? 0u : (0xffffffffu >> (32 - (end - first))) << first;
}

/* Blocks: key_rows rows of k and v, heads.  Shared memory: k and v [key_rows], q and dout
 * [query_rows] rows of head_dim, then weights and ds [query_rows, key_rows]. */
template <class P, int D>
static __global__ void __launch_bounds__(threads)
    attention_key_gradient_kernel(struct attention a, struct attention_gradients g,
                                  const struct row_scale *__restrict__ scales, bool wide)
{
    typedef typename P::element T;
    __shared__ unsigned read, of_segment[threads];
    __shared__ struct row_scale scale[query_rows];
    const int thread = (int)threadIdx.x, d = (int)a.head_dim, stride = P::stride(d);
    const int64_t begin = (int64_t)blockIdx.x * key_rows, h = blockIdx.y, head = h * d;
    const int count = (int)min((int64_t)key_rows, g.key_rows - begin);
    T *key = dynamic_shared<T>(), *value = key + key_rows * stride;
    T *query = value + key_rows * stride, *dout = query + query_rows * stride;
    float *weight = (float *)(dout + query_rows * stride);
    float *ds = weight + query_rows * pair_stride;
    typename P::template sums<key_rows, D, threads> dk, dv;

    dk.clear(), dv.clear();
    if (thread == 0) read = 0;
    __syncthreads();
    for (int64_t s = thread; s < a.segments; s += threads) {
        const unsigned keys = keys_of(a, s, begin);
        if (keys) atomicOr(&read, keys);
    }
    __syncthreads();
    const unsigned any = read;
    if (!any) return;
    tile_load(key, stride, (const T *)a.k + begin * a.k_stride + head, a.k_stride, count,
              P::padded(count), d, wide, any);
    tile_load(value, stride, (const T *)a.v + begin * a.v_stride + head, a.v_stride, count,
              P::padded(count), d, wide, any);

    for (int64_t s = 0; s < a.segments; s++) {
        if (s % threads == 0) {
            __syncthreads(); /* of_segment has been read */
            if (s + thread < a.segments) of_segment[thread] = keys_of(a, s + thread, begin);
            __syncthreads();
        }
        const unsigned keys = of_segment[s % threads];
        if (!keys) continue;
        const int64_t key_first = a.key_begin[s], first = a.query_begin[s];
        const int64_t end = a.query_begin[s + 1];
        const int64_t behind = a.causal ? a.key_end[s] - key_first - (end - first) : 0;
        for (int64_t row = first; row < end; row += query_rows) {
            const int n = (int)min((int64_t)query_rows, end - row);
            tile_load(query, stride, (const T *)a.q + row * a.q_stride + head, a.q_stride, n,
                      P::padded(n), d, wide);
            tile_load(dout, stride, (const T *)g.dout + row * a.heads * d + head, a.heads * d, n,
                      P::padded(n), d, wide);
            if (thread < n) scale[thread] = scales[(row + thread) * a.heads + h];
            __syncthreads();
            const auto position = [&](int r) { return row + r - first + behind; };
            const auto sees = [&](int r, int c) {
                return (keys >> c & 1) && (!a.causal || begin + c - key_first <= position(r));
            };
            P::template pairs<key_rows>(
                query, key, 0, n, count, d, sees, [&](int r, int c, float score) {
                    if (a.bias && sees(r, c))
                        score += bias_of(a, h, begin + c - key_first, position(r));
                    weight[r * pair_stride + c] =
                        sees(r, c) ? expf(score - scale[r].shift) * scale[r].factor : 0.0f;
                });
            P::template pairs<key_rows>(
                dout, value, 0, n, count, d, sees, [&](int r, int c, float dp) {
                    ds[r * pair_stride + c] = weight[r * pair_stride + c] * (dp - scale[r].delta);
                });
            __syncthreads();
            const auto keep = [&](int c) { return (keys >> c & 1) != 0; };
            const auto one = [](int) { return 1.0f; };
            dk.add(query, n, d, keep, one, [&](int c, int r) { return ds[r * pair_stride + c]; });
            dv.add(dout, n, d, keep, one,
                   [&](int c, int r) { return weight[r * pair_stride + c]; });
            __syncthreads(); /* the tiles may be overwritten */
        }
    }

    const auto put = [&](T *to, float x) {
        element_store(to, x + (g.accumulate_kv ? element_load(to) : 0.0f));
    };
    dk.visit(d, [&](int c, int column, float x) {
        if (any >> c & 1) put((T *)g.dk + (begin + c) * a.k_stride + head + column, x);
    });
    dv.visit(d, [&](int c, int column, float x) {
        if (any >> c & 1) put((T *)g.dv + (begin + c) * a.v_stride + head + column, x);
    });
}

static bool backward_is_wide(const struct queue *q, const struct attention *a,
                             const struct attention_gradients *g)
{
    return attention_is_wide(q, a) && (uintptr_t)g->dout % 16 == 0;
}

/* dq, scales and, in parts that fit the bound, dbias. */
template <class P, int R, int D>
static void query_gradient(struct queue *q, const struct attention *a,
                           const struct attention_gradients *g, struct row_scale *scales,
                           float *parts, int64_t tiles_at_once)
{
    const size_t row = (size_t)P::stride(a->head_dim) * sizeof(typename P::element);
    const size_t bytes = (2 * R + 2 * tile_keys) * row + 2 * R * score_stride * sizeof(float);
    const int64_t step = tiles_at_once * R, biases = a->heads * (2 * a->bias_span - 1);
    const bool wide = backward_is_wide(q, a, g);
    for (int64_t first = 0; first < a->query_rows; first += step) {
        const int64_t end = min(first + step, a->query_rows),
                      tiles = cuda_divide_up(end - first, R);
        cuda_launch(q, (attention_query_gradient_kernel<P, R, D>),
                    dim3((unsigned)tiles, (unsigned)a->heads), threads, bytes, *a, *g, first, end,
                    scales, parts, wide);
        if (parts)
            cuda_launch(q, attention_bias_gradient_kernel, cuda_divide_up(biases, threads), threads,
                        0, g->dbias, parts, tiles, biases);
    }
}

template <class P, int R, int D>
static void backward(struct queue *q, const struct attention *a,
                     const struct attention_gradients *g)
{
    const int64_t biases = g->dbias ? a->heads * (2 * a->bias_span - 1) : 0;
    int64_t tiles = cuda_divide_up(a->query_rows, R);
    if (biases && tiles * biases * (int64_t)sizeof(float) > parts_bytes)
        tiles = max((int64_t)1, parts_bytes / (biases * (int64_t)sizeof(float)));
    const int64_t scales_bytes =
        16 * cuda_divide_up(a->query_rows * a->heads * (int64_t)sizeof(struct row_scale), 16);
    char *memory = (char *)cuda_scratch(
        q, (size_t)(scales_bytes + tiles * biases * (int64_t)sizeof(float) + 16));
    if (!memory) return;
    struct row_scale *scales = (struct row_scale *)memory;
    float *parts = g->dbias ? (float *)(memory + scales_bytes) : NULL;
    query_gradient<P, R, D>(q, a, g, scales, parts, max(tiles, (int64_t)1));
    if (g->key_rows == 0) return;
    const size_t row = (size_t)P::stride(a->head_dim) * sizeof(typename P::element);
    const size_t bytes =
        (2 * key_rows + 2 * query_rows) * row + 2 * query_rows * pair_stride * sizeof(float);
    const dim3 grid((unsigned)cuda_divide_up(g->key_rows, key_rows), (unsigned)a->heads);
    cuda_launch(q, (attention_key_gradient_kernel<P, D>), grid, threads, bytes, *a, *g,
                (const struct row_scale *)scales, backward_is_wide(q, a, g));
}

/* The same, of bf16 heads with what the forward pass kept. */
static void backward_mma(struct queue *q, const struct attention *a,
                         const struct attention_gradients *g)
{
    const int64_t rows = a->query_rows, numbers = cuda_divide_up(rows * a->heads, 64) * 64;
    const int64_t biases = g->dbias ? a->heads * (2 * a->bias_span - 1) : 0;
    int64_t parts = rows / tile_keys + min(a->segments, rows); /* a part a tile of rows */
    if (biases && parts * biases * (int64_t)sizeof(float) > parts_bytes)
        parts = max((int64_t)1, parts_bytes / (biases * (int64_t)sizeof(float)));
    float *memory =
        (float *)cuda_scratch(q, (size_t)(2 * numbers + parts * biases + 1) * sizeof(float));
    if (!memory) return;
    const struct row_gradients kept = {memory, memory + numbers};
    const bool wide = backward_is_wide(q, a, g) &&
                      ((uintptr_t)g->dq | (uintptr_t)g->dk | (uintptr_t)g->dv) % 16 == 0;
    if (rows > 0)
        attention_query_gradient_mma(q, a, g, &kept, g->dbias ? memory + 2 * numbers : NULL, parts,
                                     wide);
    if (g->key_rows > 0) attention_key_gradient_mma(q, a, g, &kept, wide);
}

void cuda_attention_backward(struct queue *q, const struct attention *a,
                             const struct attention_gradients *g)
{
    if (a->segments == 0 || !attention_fits(q, a)) return;
    const bool kept = a->lse && a->out && (a->bias || !g->dbias);
    /* Heads of 128 take more than smaller GPUs have. */
    const bool room = a->head_dim <= 64 || cuda_queue_of(q)->block_shared >= 128 << 10;
    if (attention_has_mma(q, a) && kept && room) return backward_mma(q, a, g);
    cuda_with_element(q, if (a->head_dim <= 64) backward<plain<element>, 32, 64>(q, a, g);
                      else if (a->head_dim <= 128) backward<plain<element>, 32, 128>(q, a, g);
                      else backward<plain<element>, 8, 256>(q, a, g));
}
