/* Attention of bf16 heads by tensor cores, two kernels of one arithmetic (attention_mma.cuh).  In
 * the first each warp has 16 M query rows and goes over the tiles of keys, which the block's warps
 * read together while the next tile comes.  In the second a block has the few query rows of one
 * segment (the candidates of a history in a decode step) and each warp another tile of keys: a
 * whole history is on its way at once, and what the tiles gave is added in their order. */
#include "attention_mma.cuh"

/* Blocks that a multiprocessor is to hold, which bounds their registers. */
static constexpr int rows_blocks(int d, int m, int warps)
{
    return warps == 1 ? 10 : d == 64 && m == 1 ? 3 : 2;
}

/* Blocks: tiles of rows in `range` or segments, heads. */
template <int D, int M, int warps>
static __global__ void __launch_bounds__(32 * warps, rows_blocks(D, M, warps))
    attention_rows_kernel(struct attention a, struct row_range range, struct stored_scores stored,
                          bool by_segment, bool aligned)
{
    constexpr int threads = 32 * warps, R = 16 * M * warps, step = D + 8, window = tile_keys + R;
    __shared__ struct mma_place found;
    const int thread = (int)threadIdx.x, lane = thread % 32, g = lane / 4, t = lane % 4;
    const int row = thread / 32 * 16 * M; /* the warp's first */
    const int64_t h = blockIdx.y, head = h * D, key_head = key_column(a, h);
    float *bias = dynamic_shared<float>(); /* of two tiles */
    bf16 *query = (bf16 *)(bias + (a.bias ? 2 * window : 0));
    bf16 *tiles = query + R * step; /* keys and values of one tile, then of another */
    struct mma_place place;

    if (!by_segment && !mma_place_find<R, threads>(found, a, range)) return;
    for (int64_t number = 0; by_segment || number == 0; number++) {
        if (!by_segment)
            place = found;
        else if (!mma_place_of_segment<R>(place, a, range, number))
            return;
        if (number > 0) __syncthreads(); /* the tiles may be overwritten */
        const int seen = mma_visible(a, place, place.count - 1);
        const int warp_seen =
            row < place.count ? mma_visible(a, place, min(row + 16 * M, place.count) - 1) : 0;
        const auto tile_begin = [&](const struct key_tile &tile, int buffer) {
            const int n = key_tile_rows(tile, seen);
            const int64_t at = tile.row;
            bf16 *key = tiles + buffer * 2 * tile_keys * step, *value = key + tile_keys * step;
            mma_tile_copy<D, tile_keys, threads>(key,
                                                 (const bf16 *)a.k + at * a.k_stride + key_head,
                                                 a.k_stride, n, thread, aligned);
            mma_tile_copy<D, tile_keys, threads>(value,
                                                 (const bf16 *)a.v + at * a.v_stride + key_head,
                                                 a.v_stride, n, thread, aligned);
            if (a.bias)
                mma_bias_copy<window - 1, threads>(bias + buffer * window, a, h,
                                                   tile.first - place.position - R + a.bias_span,
                                                   thread);
        };
        mma_tile_copy<D, R, threads>(query, (const bf16 *)a.q + place.begin * a.q_stride + head,
                                     a.q_stride, place.count, thread, aligned);
        copy_async_commit();
        struct key_tile tile = key_tile_at(a, place.range, place.range_end, 0);
        if (seen > 0) tile_begin(tile, 0);
        copy_async_commit();
        copy_async_wait<1>();
        __syncthreads();
        uint32_t q[M][D / 16][4];
        mma_rows_load<D, M>(q, query, row);

        struct row_sums all[M][2];
        float out[M][D / 8][4];
        GPU_UNROLL
        for (int m = 0; m < M; m++) {
            all[m][0] = all[m][1] = {-INFINITY, 0.0f};
            GPU_UNROLL
            for (int n = 0; n < D / 8; n++) {
                GPU_UNROLL
                for (int r = 0; r < 4; r++) out[m][n][r] = 0.0f;
            }
        }
        for (int buffer = 0; tile.first < seen; buffer ^= 1) {
            const struct key_tile now = tile;
            copy_async_wait<0>();
            __syncthreads(); /* the tile is there, and the one before may be overwritten */
            key_tile_advance(tile, a, 1);
            if (tile.first < seen) tile_begin(tile, buffer ^ 1);
            copy_async_commit();
            if (now.first >= warp_seen) continue;
            const bf16 *key = tiles + buffer * 2 * tile_keys * step,
                       *value = key + tile_keys * step;
            float s[M][tile_keys / 8][4];
            mma_pairs<D, M, tile_keys>(s, q, key);
            mma_scale<M, tile_keys>(s, a.scale);
            if (a.bias)
                mma_diagonals_add<M, tile_keys, false>(s, bias + buffer * window + R - 1 - row);
            int limit[M][2];
            GPU_UNROLL
            for (int half = 0; half < 2 * M; half++)
                limit[half / 2][half % 2] = mma_limit(a, place, now, row + 8 * half + g) - 2 * t;
            if (stored.scores)
                scores_store<M>(s, limit, stored, h, place.begin - range.first + row,
                                place.count - row, now.first);
            /* Of the rows of a warp the first sees the fewest keys. */
            if (mma_limit(a, place, now, row) < tile_keys) mma_mask<M>(s, limit);
            struct row_sums sums[M][2];
            uint32_t weights[M][tile_keys / 16][4];
            float2 by[M][2];
            mma_softmax<M>(s, sums);
            mma_narrow<M, tile_keys>(weights, s);
            GPU_UNROLL
            for (int half = 0; half < 2 * M; half++)
                by[half / 2][half % 2] =
                    tile_sums_add(all[half / 2][half % 2], sums[half / 2][half % 2]);
            GPU_UNROLL
            for (int pair = 0; pair < D / 16; pair++) {
                float part[M][2][4] = {};
                mma_weighted<D, M, tile_keys>(part, weights, value, pair);
                GPU_UNROLL
                for (int m = 0; m < M; m++) {
                    GPU_UNROLL
                    for (int i = 0; i < 8; i++) {
                        float *to = &out[m][2 * pair + i / 4][i % 4];
                        const float2 scale = by[m][i % 4 / 2];
                        *to = __fmaf_rn(*to, scale.x, __fmul_rn(part[m][i / 4][i % 4], scale.y));
                    }
                }
            }
        }

        GPU_UNROLL
        for (int half = 0; half < 2 * M; half++) {
            const int r = row + 8 * half + g;
            if (r >= place.count) continue;
            const float factor =
                row_finish(a, stored, h, place.begin + r, range.first, mma_visible(a, place, r),
                           place.keys, all[half / 2][half % 2], t == 0);
            bf16 *to = (bf16 *)a.out + (place.begin + r) * a.heads * D + head + 2 * t;
            GPU_UNROLL
            for (int n = 0; n < D / 8; n++) {
                const float *x = out[half / 2][n] + half % 2 * 2;
                mma_pair_store(to + 8 * n, __fmul_rn(x[0], factor), __fmul_rn(x[1], factor),
                               aligned);
            }
        }
    }
}

/* Blocks: segments, heads.  Each warp has its own tile of keys and of values; where the values were
 * its rows' sums come to lie, [R][D + 8] floats in the room of 2 R <= tile_keys rows of bf16; then
 * each row has `each` threads with `columns` numbers. */
template <int D, int M, int warps>
static __global__ void __launch_bounds__(32 * warps)
    attention_keys_kernel(struct attention a, struct row_range range, struct stored_scores stored,
                          bool aligned)
{
    constexpr int threads = 32 * warps, R = 16 * M, step = D + 8, window = tile_keys + R;
    constexpr int each = threads / R, columns = D / each; /* of a row, when sums are added */
    static_assert(2 * R <= tile_keys && D % each == 0, "sums fit where values were");
    __shared__ struct row_sums tile_sums[warps][R];
    const int thread = (int)threadIdx.x, lane = thread % 32, warp = thread / 32;
    const int g = lane / 4, t = lane % 4, own_row = thread / each, column = thread % each;
    const int64_t h = blockIdx.y, head = h * D, key_head = key_column(a, h);
    bf16 *query = dynamic_shared<bf16>(), *tiles = query + R * step;
    bf16 *key = tiles + warp * 2 * tile_keys * step, *value = key + tile_keys * step;
    float *bias = (float *)(tiles + warps * 2 * tile_keys * step) + warp * window;
    struct mma_place place;

    for (int64_t number = 0; mma_place_of_segment<R>(place, a, range, number); number++) {
        if (number > 0) __syncthreads(); /* the tiles may be overwritten */
        const int seen = mma_visible(a, place, place.count - 1);
        const auto keys_begin = [&](const struct key_tile &tile) {
            if (tile.first < seen) {
                mma_tile_copy<D, tile_keys, 32>(
                    key, (const bf16 *)a.k + tile.row * a.k_stride + key_head, a.k_stride,
                    key_tile_rows(tile, seen), lane, aligned);
                if (a.bias)
                    mma_bias_copy<window - 1, 32>(
                        bias, a, h, tile.first - place.position - R + a.bias_span, lane);
            }
            copy_async_commit();
        };
        const auto values_begin = [&](const struct key_tile &tile) {
            if (tile.first < seen)
                mma_tile_copy<D, tile_keys, 32>(
                    value, (const bf16 *)a.v + tile.row * a.v_stride + key_head, a.v_stride,
                    key_tile_rows(tile, seen), lane, aligned);
            copy_async_commit();
        };
        const int tile_count = key_tiles(a, place.range, place.range_end, seen);
        struct key_tile tile = key_tile_at(a, place.range, place.range_end, warp);
        mma_tile_copy<D, R, threads>(query, (const bf16 *)a.q + place.begin * a.q_stride + head,
                                     a.q_stride, place.count, thread, aligned);
        keys_begin(tile);
        values_begin(tile);
        copy_async_wait<1>();
        __syncthreads(); /* the query is there */

        struct row_sums all = {-INFINITY, 0.0f};
        float out[columns];
        for (int c = 0; c < columns; c++) out[c] = 0.0f;
        for (int first = 0; first < tile_count; first += warps) {
            const struct key_tile now = tile;
            const bool has_tile = now.first < seen;
            key_tile_advance(tile, a, warps);
            uint32_t weights[M][tile_keys / 16][4];
            float s[M][tile_keys / 8][4];
            copy_async_wait<1>();
            __syncwarp(); /* the keys are there */
            if (has_tile) {
                uint32_t q[M][D / 16][4];
                mma_rows_load<D, M>(q, query, 0);
                mma_pairs<D, M, tile_keys>(s, q, key);
                mma_scale<M, tile_keys>(s, a.scale);
                if (a.bias) mma_diagonals_add<M, tile_keys, false>(s, bias + R - 1);
            }
            __syncwarp(); /* and may be overwritten */
            keys_begin(tile);
            if (has_tile) {
                int limit[M][2];
                GPU_UNROLL
                for (int half = 0; half < 2 * M; half++)
                    limit[half / 2][half % 2] = mma_limit(a, place, now, 8 * half + g) - 2 * t;
                if (stored.scores)
                    scores_store<M>(s, limit, stored, h, place.begin - range.first, place.count,
                                    now.first);
                mma_mask<M>(s, limit);
                struct row_sums sums[M][2];
                mma_softmax<M>(s, sums);
                mma_narrow<M, tile_keys>(weights, s);
                GPU_UNROLL
                for (int half = 0; half < 2 * M; half++)
                    if (t == 0) tile_sums[warp][8 * half + g] = sums[half / 2][half % 2];
            }
            copy_async_wait<1>();
            __syncwarp(); /* the values are there */
            float part[D / 16][M][2][4] = {};
            if (has_tile) {
                GPU_UNROLL
                for (int pair = 0; pair < D / 16; pair++)
                    mma_weighted<D, M, tile_keys>(part[pair], weights, value, pair);
            }
            __syncwarp(); /* and may be overwritten */
            if (has_tile) {
                float *sums = (float *)value;
                GPU_UNROLL
                for (int pair = 0; pair < D / 16; pair++) {
                    GPU_UNROLL
                    for (int i = 0; i < 4 * M; i++) { /* two columns of a row */
                        const int m = i / 4, n = i / 2 % 2, half = i % 2;
                        const float *x = part[pair][m][n] + 2 * half;
                        *(float2 *)(sums + (16 * m + 8 * half + g) * step + 16 * pair + 8 * n +
                                    2 * t) = make_float2(x[0], x[1]);
                    }
                }
            }
            __syncthreads(); /* every warp's sums are there */
            for (int w = 0; w < warps && first + w < tile_count; w++) {
                const float2 by = tile_sums_add(all, tile_sums[w][own_row]);
                const float *from = (const float *)(tiles + (2 * w + 1) * tile_keys * step) +
                                    own_row * step + column;
                GPU_UNROLL
                for (int c = 0; c < columns; c++)
                    out[c] = __fmaf_rn(out[c], by.x, __fmul_rn(from[c * each], by.y));
            }
            __syncthreads(); /* and may be overwritten */
            values_begin(tile);
        }

        if (own_row >= place.count) continue;
        const float factor =
            row_finish(a, stored, h, place.begin + own_row, range.first,
                       mma_visible(a, place, own_row), place.keys, all, column == 0);
        bf16 *to = (bf16 *)a.out + (place.begin + own_row) * a.heads * D + head + column;
        GPU_UNROLL
        for (int c = 0; c < columns; c++) element_store(to + c * each, __fmul_rn(out[c], factor));
    }
}

/* Query rows of a segment, as far as the host knows: more than that many make the first kernel. */
enum { keys_kernel_max_rows = 32 };

template <int D, int M, int warps>
static void rows_launch(struct queue *q, const struct attention_part *part, bool by_segment)
{
    const struct attention *a = part->a;
    constexpr int R = 16 * M * warps;
    /* The bias spans the keys, and a range begins a tile. */
    const int tile_buffers = a->bias && a->bias_span <= tile_keys && !a->range_begin ? 1 : 2;
    const size_t bytes = (size_t)(R + 2 * tile_buffers * tile_keys) * (D + 8) * sizeof(bf16) +
                         (a->bias ? 2 * (tile_keys + R) * sizeof(float) : 0);
    const int64_t tiles =
        a->segments + (by_segment ? 0 : (part->range.end - part->range.first) / R);
    cuda_launch(q, (attention_rows_kernel<D, M, warps>), dim3((unsigned)tiles, (unsigned)a->heads),
                32 * warps, bytes, *a, part->range, part->stored, by_segment,
                attention_is_aligned(q, a));
}

/* False: there is no room for a tile a warp. */
template <int D, int M, int warps>
static bool keys_launch(struct queue *q, const struct attention_part *part)
{
    const struct attention *a = part->a;
    constexpr int R = 16 * M;
    const size_t bytes = (size_t)(R + 2 * warps * tile_keys) * (D + 8) * sizeof(bf16) +
                         (a->bias ? warps * (tile_keys + R) * sizeof(float) : 0);
    const size_t sums = warps * R * sizeof(struct row_sums);
    if (bytes + sums > (size_t)cuda_queue_of(q)->block_shared) return false;
    cuda_launch(q, (attention_keys_kernel<D, M, warps>),
                dim3((unsigned)a->segments, (unsigned)a->heads), 32 * warps, bytes, *a, part->range,
                part->stored, attention_is_aligned(q, a));
    return true;
}

/* The choice changes no bits.  What is known of the keys' number without asking the device: the
 * bias spans them. */
template <int D> static void forward(struct queue *q, const struct attention_part *part)
{
    constexpr int warps = D > 64 ? 4 : 8; /* of a block, for its tiles to fit an A100's 163 KB */
    const struct attention *a = part->a;
    const int64_t rows = cuda_divide_up(a->query_rows, a->segments);
    if (rows > 64 && D == 64) return rows_launch<D, (D == 64 ? 2 : 1), 4>(q, part, false);
    if (rows > keys_kernel_max_rows) return rows_launch<D, 1, 4>(q, part, false);
    const bool is_short = rows <= 16 && a->bias && a->bias_span <= 4 * tile_keys;
    if (!is_short && rows <= 16 && keys_launch<D, 1, warps>(q, part)) return;
    if (!is_short && rows > 16 && keys_launch<D, 2, warps>(q, part)) return;
    rows_launch<D, 1, 1>(q, part, true);
}

void attention_forward_mma(struct queue *q, const struct attention_part *part)
{
    switch (part->a->head_dim) {
    case 16:
        return forward<16>(q, part);
    case 32:
        return forward<32>(q, part);
    case 64:
        return forward<64>(q, part);
    default:
        return forward<128>(q, part);
    }
}
