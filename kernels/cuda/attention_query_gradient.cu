/* The gradient of bf16 attention's queries and bias by tensor cores.  A block has 64 query rows, a
 * warp 16, and goes over the tiles of keys as the forward pass does; weights come again from the
 * scores and the forward pass's lse.  ds = w (dp - delta) is the left operand of the next product
 * without leaving its lane. */
#include "attention_mma.cuh"

enum { threads = 128, warps = threads / 32, rows_of_block = 16 * warps, window = 2 * tile_keys };
static_assert(rows_of_block == (int)tile_keys, "a tile's diagonals end in the next tile");

/* Sums of ds along the diagonals of a block's rows.  Diagonal i of a tile holds column - row = i -
 * 63; of 127 those from the tile's number of keys on go on as the lower ones of the next tile. */
struct diagonals {
    float lane[warps][8][72];    /* of each warp: rows g and g + 8 together, by column - 8 + g */
    float warp[2][warps][80];    /* of a warp's 16 rows; of two tiles, in turn */
    float carried[2][tile_keys]; /* what the tile before has given to a tile's first diagonals */
};

/* ds [16, 64] of a warp to its 79 diagonals, column - row = i - 15. */
static __device__ inline void diagonals_of_warp(struct diagonals &to, int buffer,
                                                const float (&ds)[1][tile_keys / 8][4])
{
    const int lane = (int)threadIdx.x % 32, warp = (int)threadIdx.x / 32, g = lane / 4;
    GPU_UNROLL
    for (int x = -1; x < tile_keys / 8; x++) { /* column tile x of rows g, x + 1 of g + 8 */
        float2 two = make_float2(0.0f, 0.0f);
        if (x >= 0) two = make_float2(ds[0][x][0], ds[0][x][1]);
        if (x + 1 < tile_keys / 8) two.x += ds[0][x + 1][2], two.y += ds[0][x + 1][3];
        *(float2 *)&to.lane[warp][g][8 * (x + 1) + lane % 4 * 2] = two;
    }
    __syncwarp();
    for (int i = lane; i < 79; i += 32) {
        float sum = 0.0f;
        for (int row = max(0, 7 - i); row < min(8, 79 - i); row++)
            sum += to.lane[warp][row][i - 7 + row];
        to.warp[buffer][warp][i] = sum;
    }
    __syncwarp(); /* lane may be overwritten */
}

/* Diagonal i of the block, warps ascending. */
static __device__ inline float diagonal_of_block(const struct diagonals &of, int buffer, int i)
{
    float sum = 0.0f;
    for (int w = 0; w < warps; w++) {
        const int at = i - 48 + 16 * w;
        if (at >= 0 && at < 79) sum += of.warp[buffer][w][at];
    }
    return sum;
}

/* Blocks: tiles of rows in `range`, heads.  parts [tiles, heads, 2 span - 1] of dbias, or NULL. */
template <int D>
static __global__ void __launch_bounds__(threads, 2)
    attention_query_gradient_mma_kernel(struct attention a, struct attention_gradients g,
                                        struct row_range range, struct row_gradients rows,
                                        float *__restrict__ parts, bool aligned)
{
    constexpr int R = rows_of_block, step = D + 8;
    __shared__ struct mma_place place;
    const int thread = (int)threadIdx.x, lane = thread % 32, t = lane % 4;
    const int row = thread / 32 * 16; /* the warp's first */
    const int64_t h = blockIdx.y, head = h * D, width = 2 * a.bias_span - 1;
    const int64_t key_head = key_column(a, h);
    float *part = parts ? parts + (blockIdx.x * a.heads + h) * width : nullptr;
    if (!mma_place_find<R, threads>(place, a, range)) {
        for (int64_t i = thread; part && i < width; i += threads) part[i] = 0.0f;
        return;
    }
    struct diagonals *along = dynamic_shared<struct diagonals>();
    float *bias = (float *)(along + (part ? 1 : 0)); /* of two tiles */
    bf16 *query = (bf16 *)(bias + (a.bias ? 2 * window : 0)), *dout = query + R * step;
    bf16 *tiles = dout + R * step; /* keys and values of one tile, then of another */
    const int seen = mma_visible(a, place, place.count - 1);
    const int warp_seen =
        row < place.count ? mma_visible(a, place, min(row + 16, place.count) - 1) : 0;
    /* Where diagonal 0 of the first tile lies in a head's biases. */
    const int64_t base = a.bias_span - R - place.position;
    const auto tile_begin = [&](const struct key_tile &tile, int buffer) {
        const int n = key_tile_rows(tile, seen);
        const int64_t at = tile.row;
        bf16 *key = tiles + buffer * 2 * tile_keys * step, *value = key + tile_keys * step;
        mma_tile_copy<D, tile_keys, threads>(key, (const bf16 *)a.k + at * a.k_stride + key_head,
                                             a.k_stride, n, thread, aligned);
        mma_tile_copy<D, tile_keys, threads>(value, (const bf16 *)a.v + at * a.v_stride + key_head,
                                             a.v_stride, n, thread, aligned);
        if (a.bias)
            mma_bias_copy<window - 1, threads>(bias + buffer * window, a, h, base + tile.first,
                                               thread);
    };
    mma_tile_copy<D, R, threads>(query, (const bf16 *)a.q + place.begin * a.q_stride + head,
                                 a.q_stride, place.count, thread, aligned);
    mma_tile_copy<D, R, threads>(dout, (const bf16 *)g.dout + place.begin * a.heads * D + head,
                                 a.heads * D, place.count, thread, aligned);
    copy_async_commit();
    struct key_tile tile = key_tile_at(a, place.range, place.range_end, 0);
    if (seen > 0) tile_begin(tile, 0);
    copy_async_commit();
    if (part) { /* what no tile of keys reaches; of what comes behind the keys some is overwritten
                 */
        for (int64_t i = thread; i < width; i += threads)
            if (i < base || i >= base + seen) part[i] = 0.0f;
        if (thread < tile_keys) along->carried[0][thread] = 0.0f;
    }
    copy_async_wait<1>();
    __syncthreads();

    /* Two lanes a row: delta = dout . out, and lse. */
    float delta = 0.0f, lse2 = INFINITY; /* of no keys: all weights are 0 */
    if (row + lane / 2 < place.count) {
        const int64_t r = place.begin + row + lane / 2;
        const bf16 *out = (const bf16 *)a.out + r * a.heads * D + head + lane % 2 * (D / 2);
        const bf16 *by = dout + (row + lane / 2) * step + lane % 2 * (D / 2);
        for (int i = 0; i < D / 2; i += 2) {
            const float2 u = mma_pair_load(by + i, true), v = mma_pair_load(out + i, aligned);
            delta = __fmaf_rn(u.y, v.y, __fmaf_rn(u.x, v.x, delta));
        }
        const float lse = a.lse[r * a.heads + h];
        if (lse != -INFINITY) lse2 = lse * log2_of_e;
    }
    delta += __shfl_xor_sync(0xffffffffu, delta, 1);
    if (lane % 2 == 0 && row + lane / 2 < place.count) {
        const int64_t at = h * a.query_rows + place.begin + row + lane / 2;
        rows.lse2[at] = lse2;
        rows.delta[at] = delta;
    }
    float row_lse2[2], row_delta[2];
    GPU_UNROLL
    for (int half = 0; half < 2; half++) {
        row_lse2[half] = __shfl_sync(0xffffffffu, lse2, 2 * (8 * half + lane / 4));
        row_delta[half] = __shfl_sync(0xffffffffu, delta, 2 * (8 * half + lane / 4));
    }

    uint32_t q[1][D / 16][4], y[1][D / 16][4];
    mma_rows_load<D, 1>(q, query, row);
    mma_rows_load<D, 1>(y, dout, row);
    float dq[D / 16][1][2][4] = {};
    /* Of a tile of n keys that all warps are done with: its first n diagonals, or all where no tile
     * follows. */
    const auto diagonals_put = [&](int first, int buffer, int n, bool last) {
        float sum = diagonal_of_block(*along, buffer, thread);
        if (thread < tile_keys) sum = along->carried[buffer][thread] + sum;
        const int64_t at = base + first + thread;
        if (thread < n || last) {
            if (at >= 0 && at < width) part[at] = sum;
        } else if (thread < n + tile_keys) { /* behind those no sum is left */
            along->carried[buffer ^ 1][thread - n] = sum;
        }
    };
    int buffer = 0, before = 0, before_keys = 0; /* before: the first key of the tile before */
    for (; tile.first < seen; buffer ^= 1) {
        const struct key_tile now = tile;
        const bf16 *key = tiles + buffer * 2 * tile_keys * step, *value = key + tile_keys * step;
        float s[1][tile_keys / 8][4], dp[1][tile_keys / 8][4];
        copy_async_wait<0>();
        __syncthreads(); /* the tile is there, and the one before may be overwritten */
        key_tile_advance(tile, a, 1);
        if (tile.first < seen) tile_begin(tile, buffer ^ 1);
        copy_async_commit();
        if (part && before_keys > 0) diagonals_put(before, buffer ^ 1, before_keys, false);
        before = now.first, before_keys = min((int)tile_keys, now.end - now.row);
        if (now.first < warp_seen) {
            mma_pairs<D, 1, tile_keys>(s, q, key);
            mma_scale<1, tile_keys>(s, a.scale);
            if (a.bias)
                mma_diagonals_add<1, tile_keys, false>(s, bias + buffer * window + R - 1 - row);
            if (mma_limit(a, place, now, row) < tile_keys) {
                int limit[1][2];
                GPU_UNROLL
                for (int half = 0; half < 2; half++)
                    limit[0][half] = mma_limit(a, place, now, row + 8 * half + lane / 4) - 2 * t;
                mma_mask<1>(s, limit);
            }
            mma_pairs<D, 1, tile_keys>(dp, y, value);
        }
        GPU_UNROLL
        for (int n = 0; n < tile_keys / 8; n++) {
            GPU_UNROLL
            for (int r = 0; r < 4; r++) {
                const float weight =
                    now.first < warp_seen
                        ? exp2_approximate(__fmaf_rn(s[0][n][r], log2_of_e, -row_lse2[r / 2]))
                        : 0.0f;
                s[0][n][r] =
                    now.first < warp_seen ? weight * (dp[0][n][r] - row_delta[r / 2]) : 0.0f;
            }
        }
        if (part) diagonals_of_warp(*along, buffer, s);
        if (now.first >= warp_seen) continue;
        uint32_t ds[1][tile_keys / 16][4];
        mma_narrow<1, tile_keys>(ds, s);
        GPU_UNROLL
        for (int pair = 0; pair < D / 16; pair++)
            mma_weighted<D, 1, tile_keys>(dq[pair], ds, key, pair);
    }
    if (part && before_keys > 0) {
        __syncthreads();
        diagonals_put(before, buffer ^ 1, before_keys, true);
    }

    GPU_UNROLL
    for (int half = 0; half < 2; half++) {
        const int r = row + 8 * half + lane / 4;
        if (r >= place.count) continue;
        bf16 *to = (bf16 *)g.dq + (place.begin + r) * a.q_stride + head + 2 * t;
        GPU_UNROLL
        for (int n = 0; n < D / 8; n++) {
            const float *x = dq[n / 2][0][n % 2] + 2 * half;
            mma_pair_store(to + 8 * n, x[0] * a.scale, x[1] * a.scale, aligned);
        }
    }
}

/* dbias[i] += the tiles' parts, ascending. */
static __global__ void __launch_bounds__(256)
    attention_bias_parts_kernel(float *__restrict__ dbias, const float *__restrict__ parts,
                                int64_t tiles, int64_t count)
{
    const int64_t i = (int64_t)blockIdx.x * 256 + threadIdx.x;
    if (i >= count) return;
    float sum = 0.0f;
    for (int64_t tile = 0; tile < tiles; tile++) sum += parts[tile * count + i];
    dbias[i] += sum;
}

template <int D>
static void query_gradient(struct queue *q, const struct attention *a,
                           const struct attention_gradients *g, const struct row_gradients *rows,
                           float *parts, int64_t max_parts, bool aligned)
{
    const int64_t biases = a->heads * (2 * a->bias_span - 1), R = rows_of_block;
    const size_t bytes = (size_t)(2 * R + 4 * tile_keys) * (D + 8) * sizeof(bf16) +
                         (a->bias ? 2 * window * sizeof(float) : 0) +
                         (parts ? sizeof(struct diagonals) : 0);
    /* A range of n rows has at most n / R + min(segments, n) tiles. */
    const int64_t step =
        parts ? max((max_parts - a->segments) * R, min(max_parts, R - 1)) : a->query_rows;
    struct row_range range = {};
    for (; range.first < a->query_rows; range.first = range.end) {
        range.end = min(range.first + max(step, (int64_t)1), a->query_rows);
        const int64_t n = range.end - range.first, tiles = n / R + min(a->segments, n);
        cuda_launch(q, (attention_query_gradient_mma_kernel<D>),
                    dim3((unsigned)tiles, (unsigned)a->heads), threads, bytes, *a, *g, range, *rows,
                    parts, aligned);
        if (parts)
            cuda_launch(q, attention_bias_parts_kernel, cuda_divide_up(biases, 256), 256, 0,
                        g->dbias, parts, tiles, biases);
    }
}

void attention_query_gradient_mma(struct queue *q, const struct attention *a,
                                  const struct attention_gradients *g,
                                  const struct row_gradients *rows, float *parts, int64_t max_parts,
                                  bool aligned)
{
    switch (a->head_dim) {
    case 16:
        return query_gradient<16>(q, a, g, rows, parts, max_parts, aligned);
    case 32:
        return query_gradient<32>(q, a, g, rows, parts, max_parts, aligned);
    case 64:
        return query_gradient<64>(q, a, g, rows, parts, max_parts, aligned);
    default:
        return query_gradient<128>(q, a, g, rows, parts, max_parts, aligned);
    }
}
