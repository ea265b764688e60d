/* The gradient of bf16 attention's keys and values by tensor cores.  A block has 64 rows of k and
 * v, a warp 16, and goes over the heads of q that read them, and for each over the query rows of
 * every range of keys that holds some of them, ranges (and so segments) ascending, in tiles counted
 * from the segment's first row: each sum has one order.  A warp's
 * results have keys down and queries across, so that weights and ds are the left operands of dv +=
 * w^T dout and dk += ds^T q without leaving their lane. */
#include "attention_mma.cuh"

enum { threads = 128, warps = threads / 32, key_rows = 16 * warps, window = 2 * key_rows };

/* Some query rows of a segment, and a range of its keys. */
struct query_step {
    int at; /* in the block's list of ranges */
    int64_t row, end;
    int32_t key_begin, key_end;
    int32_t position; /* of `row`, less the number of the range's first key */
};

/* The first step of range list[at]. */
static __device__ inline struct query_step query_step_first(const struct attention &a,
                                                            const int *list, int at)
{
    const int r = list[at];
    const int64_t s = segment_of_range(a, r);
    const int32_t first = a.query_begin[s], end = a.query_begin[s + 1];
    struct query_step step = {at, first, end, a.key_begin[r], a.key_end[r], 0};
    step.position = -keys_count(a, ranges_before(a, s), r);
    if (a.causal) step.position += keys_of_segment(a, s) - (end - first);
    return step;
}

/* The same some rows on. */
static __device__ inline struct query_step query_step_moved(struct query_step step, int64_t rows)
{
    step.row += rows, step.position += (int32_t)rows;
    return step;
}

/* The first step of list[at], or of none.  Tiles of QT queries that stand before all of the block's
 * keys see none. */
template <int QT>
static __device__ inline struct query_step query_step_of(const struct attention &a, const int *list,
                                                         int listed, int at, int64_t begin)
{
    struct query_step step = {listed, 0, 0, 0, 0, 0};
    for (; at < listed; at++) {
        step = query_step_first(a, list, at);
        if (!a.causal) return step;
        const int64_t before = begin - step.key_begin - step.position; /* rows that see none */
        const int64_t skipped = before > 0 ? before / QT * QT : 0;
        if (step.row + skipped < step.end) return query_step_moved(step, skipped);
    }
    step.at = listed;
    return step;
}

template <int QT>
static __device__ inline struct query_step
query_step_next(const struct attention &a, const int *list, int listed,
                const struct query_step &step, int64_t begin)
{
    if (step.row + QT < step.end) return query_step_moved(step, QT);
    return query_step_of<QT>(a, list, listed, step.at + 1, begin);
}

/* The ranges of [strip, strip + threads) that have keys in [begin, end), of segments that have
 * queries, ascending; their number.  All threads call it. */
static __device__ inline int ranges_list(int *list, const struct attention &a, int32_t strip,
                                         int32_t ranges, int64_t begin, int64_t end)
{
    __shared__ unsigned wanted[warps];
    const int thread = (int)threadIdx.x, lane = thread % 32, warp = thread / 32;
    const int32_t r = strip + thread;
    __syncthreads(); /* list and wanted have been read */
    bool here = r < ranges && max((int64_t)a.key_begin[r], begin) < min((int64_t)a.key_end[r], end);
    if (here) {
        const int64_t s = segment_of_range(a, r);
        here = a.query_begin[s] < a.query_begin[s + 1];
    }
    const unsigned mask = __ballot_sync(0xffffffffu, here);
    if (lane == 0) wanted[warp] = mask;
    __syncthreads();
    int before = 0, all = 0;
    for (int w = 0; w < warps; w++) {
        if (w < warp) before += __popc(wanted[w]);
        all += __popc(wanted[w]);
    }
    if (here) list[before + __popc(mask & ((1u << lane) - 1))] = r;
    __syncthreads();
    return all;
}

/* Blocks: key_rows rows of k and v, heads of theirs.  QT: query rows of a tile. */
template <int D, int QT>
static __global__ void __launch_bounds__(threads, D > 64 ? 1 : 2)
    attention_key_gradient_mma_kernel(struct attention a, struct attention_gradients g,
                                      struct row_gradients rows, bool aligned)
{
    constexpr int step_d = D + 8;
    __shared__ int list[threads];
    __shared__ unsigned read[key_rows / 32]; /* a bit for each row that is in a range */
    const int thread = (int)threadIdx.x, lane = thread % 32, t = lane % 4;
    const int row = thread / 32 * 16; /* the warp's first key */
    const int64_t begin = (int64_t)blockIdx.x * key_rows, column = (int64_t)blockIdx.y * D;
    const int each = (int)a.heads / (int)a.kv_heads; /* heads of q that read this one */
    const int32_t ranges = ranges_before(a, a.segments);
    int64_t h = (int64_t)blockIdx.y * each; /* of q */
    float *bias = dynamic_shared<float>();  /* of two tiles, as are lse2, delta, query, dout */
    float *lse2 = bias + (a.bias ? 2 * window : 0), *delta = lse2 + 2 * QT;
    bf16 *key = (bf16 *)(delta + 2 * QT), *value = key + key_rows * step_d;
    bf16 *query = value + key_rows * step_d, *dout = query + 2 * QT * step_d;

    if (thread < key_rows / 32) read[thread] = 0;
    __syncthreads();
    for (int32_t r = thread; r < ranges; r += threads)
        for (int word = 0; word < key_rows / 32; word++) {
            const int64_t from = begin + 32 * word;
            const int first = (int)max((int64_t)a.key_begin[r] - from, (int64_t)0);
            const int end = (int)min((int64_t)a.key_end[r] - from, (int64_t)32);
            if (first < end) atomicOr(&read[word], (0xffffffffu >> (32 - (end - first))) << first);
        }
    __syncthreads();
    const auto is_read = [&](int r) { return r < key_rows && (read[r / 32] >> (r % 32) & 1) != 0; };
    if (!read[0] && !read[1]) return;
    mma_rows_copy<D, key_rows, threads>(key, (const bf16 *)a.k + begin * a.k_stride + column,
                                        a.k_stride, thread, aligned, is_read);
    mma_rows_copy<D, key_rows, threads>(value, (const bf16 *)a.v + begin * a.v_stride + column,
                                        a.v_stride, thread, aligned, is_read);
    copy_async_commit();

    const auto step_begin = [&](const struct query_step &step, int buffer) {
        const int n = (int)min((int64_t)QT, step.end - step.row);
        mma_tile_copy<D, QT, threads>(query + buffer * QT * step_d,
                                      (const bf16 *)a.q + step.row * a.q_stride + h * D, a.q_stride,
                                      n, thread, aligned);
        mma_tile_copy<D, QT, threads>(dout + buffer * QT * step_d,
                                      (const bf16 *)g.dout + (step.row * a.heads + h) * D,
                                      a.heads * D, n, thread, aligned);
        if (thread < n) {
            copy_async_4(lse2 + buffer * QT + thread,
                         rows.lse2 + h * a.query_rows + step.row + thread);
            copy_async_4(delta + buffer * QT + thread,
                         rows.delta + h * a.query_rows + step.row + thread);
        } else if (thread < QT) { /* no row: its weights are 0 */
            lse2[buffer * QT + thread] = INFINITY;
            delta[buffer * QT + thread] = 0.0f;
        }
        if (a.bias) /* column - row of [key, query] results from 1 - QT on */
            mma_bias_copy<key_rows + QT - 1, threads>(
                bias + buffer * window, a, h,
                begin - step.key_begin - step.position - QT + a.bias_span, thread);
    };
    copy_async_wait<0>();
    __syncthreads();
    uint32_t k[1][D / 16][4], v[1][D / 16][4];
    mma_rows_load<D, 1>(k, key, row);
    mma_rows_load<D, 1>(v, value, row);
    float dk[D / 16][1][2][4] = {}, dv[D / 16][1][2][4] = {};

    for (const int64_t end = h + each; h < end; h++)
        for (int32_t strip = 0; strip < ranges; strip += threads) {
            const int listed = ranges_list(list, a, strip, ranges, begin, begin + key_rows);
            struct query_step step = query_step_of<QT>(a, list, listed, 0, begin);
            if (step.at < listed) step_begin(step, 0);
            copy_async_commit();
            for (int buffer = 0; step.at < listed; buffer ^= 1) {
                copy_async_wait<0>();
                __syncthreads(); /* the tile is there, and the one before may be overwritten */
                const struct query_step next = query_step_next<QT>(a, list, listed, step, begin);
                if (next.at < listed) step_begin(next, buffer ^ 1);
                copy_async_commit();
                const bf16 *queries = query + buffer * QT * step_d,
                           *douts = dout + buffer * QT * step_d;

                float w[1][QT / 8][4], ds[1][QT / 8][4];
                mma_pairs<D, 1, QT>(w, k, queries);
                mma_scale<1, QT>(w, a.scale);
                if (a.bias)
                    mma_diagonals_add<1, QT, true>(w, bias + buffer * window + QT - 1 + row);
                mma_pairs<D, 1, QT>(ds, v, douts);
                int from[2]; /* the first query of the tile that sees the key, less 2 t */
                GPU_UNROLL
                for (int half = 0; half < 2; half++) {
                    const int64_t j = begin + row + 8 * half + lane / 4;
                    const bool inside = j >= step.key_begin && j < step.key_end;
                    const int first = a.causal ? (int)(j - step.key_begin) - step.position : 0;
                    from[half] = (inside ? first : QT) - 2 * t;
                }
                GPU_UNROLL
                for (int n = 0; n < QT / 8; n++) {
                    GPU_UNROLL
                    for (int e = 0; e < 2; e++) {
                        const float row_lse2 = lse2[buffer * QT + 8 * n + 2 * t + e];
                        const float mean = delta[buffer * QT + 8 * n + 2 * t + e];
                        GPU_UNROLL
                        for (int half = 0; half < 2; half++) {
                            const int i = 2 * half + e;
                            const bool sees = 8 * n + e >= from[half];
                            const float weight =
                                exp2_approximate(__fmaf_rn(w[0][n][i], log2_of_e, -row_lse2));
                            w[0][n][i] = sees ? weight : 0.0f;
                            ds[0][n][i] = sees ? weight * (ds[0][n][i] - mean) : 0.0f;
                        }
                    }
                }
                uint32_t left[1][QT / 16][4];
                mma_narrow<1, QT>(left, w);
                GPU_UNROLL
                for (int pair = 0; pair < D / 16; pair++)
                    mma_weighted<D, 1, QT>(dv[pair], left, douts, pair);
                mma_narrow<1, QT>(left, ds);
                GPU_UNROLL
                for (int pair = 0; pair < D / 16; pair++)
                    mma_weighted<D, 1, QT>(dk[pair], left, queries, pair);
                step = next;
            }
        }

    GPU_UNROLL
    for (int half = 0; half < 2; half++) {
        const int r = row + 8 * half + lane / 4;
        if (!is_read(r)) continue;
        bf16 *dk_row = (bf16 *)g.dk + (begin + r) * a.k_stride + column + 2 * t;
        bf16 *dv_row = (bf16 *)g.dv + (begin + r) * a.v_stride + column + 2 * t;
        GPU_UNROLL
        for (int n = 0; n < D / 8; n++) {
            const float *x = dk[n / 2][0][n % 2] + 2 * half, *y = dv[n / 2][0][n % 2] + 2 * half;
            float2 before_k = make_float2(0.0f, 0.0f), before_v = before_k;
            if (g.accumulate_kv) {
                before_k = mma_pair_load(dk_row + 8 * n, aligned);
                before_v = mma_pair_load(dv_row + 8 * n, aligned);
            }
            mma_pair_store(dk_row + 8 * n, before_k.x + x[0] * a.scale, before_k.y + x[1] * a.scale,
                           aligned);
            mma_pair_store(dv_row + 8 * n, before_v.x + y[0], before_v.y + y[1], aligned);
        }
    }
}

template <int D>
static void key_gradient(struct queue *q, const struct attention *a,
                         const struct attention_gradients *g, const struct row_gradients *rows,
                         bool aligned)
{
    constexpr int QT = D > 64 ? 32 : 64; /* for the sums to fit the registers */
    const size_t bytes = (size_t)(2 * key_rows + 4 * QT) * (D + 8) * sizeof(bf16) +
                         (4 * QT + (a->bias ? 2 * window : 0)) * sizeof(float);
    cuda_launch(q, (attention_key_gradient_mma_kernel<D, QT>),
                dim3((unsigned)cuda_divide_up(g->key_rows, key_rows), (unsigned)a->kv_heads),
                threads, bytes, *a, *g, *rows, aligned);
}

void attention_key_gradient_mma(struct queue *q, const struct attention *a,
                                const struct attention_gradients *g,
                                const struct row_gradients *rows, bool aligned)
{
    switch (a->head_dim) {
    case 16:
        return key_gradient<16>(q, a, g, rows, aligned);
    case 32:
        return key_gradient<32>(q, a, g, rows, aligned);
    case 64:
        return key_gradient<64>(q, a, g, rows, aligned);
    default:
        return key_gradient<128>(q, a, g, rows, aligned);
    }
}
