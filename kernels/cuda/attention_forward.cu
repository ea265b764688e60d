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
    attention_rows_kernel(struct attention a, struct row_range range, struct kept kept,
                          bool by_segment, bool wide)
{
    constexpr int threads = 32 * warps, R = 16 * M * warps, step = D + 8, window = tile_keys + R;
    __shared__ struct mma_place found;
    const int thread = (int)threadIdx.x, lane = thread % 32, g = lane / 4, t = lane % 4;
    const int row = thread / 32 * 16 * M; /* the warp's first */
    const int64_t h = blockIdx.y, head = h * D;
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
        const auto tile_begin = [&](int j0) {
            const int n = min((int)tile_keys, seen - j0), buffer = j0 / tile_keys % 2;
            const int64_t at = place.key_begin + j0;
            bf16 *key = tiles + buffer * 2 * tile_keys * step, *value = key + tile_keys * step;
            mma_tile_copy<D, tile_keys, threads>(key, (const bf16 *)a.k + at * a.k_stride + head,
                                                 a.k_stride, n, thread, wide);
            mma_tile_copy<D, tile_keys, threads>(value, (const bf16 *)a.v + at * a.v_stride + head,
                                                 a.v_stride, n, thread, wide);
            if (a.bias)
                mma_bias_copy<window - 1, threads>(bias + buffer * window, a, h,
                                                   j0 - place.position - R + a.bias_span, thread);
        };
        mma_tile_copy<D, R, threads>(query, (const bf16 *)a.q + place.begin * a.q_stride + head,
                                     a.q_stride, place.count, thread, wide);
        copy_async_commit();
        if (seen > 0) tile_begin(0);
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
        for (int j0 = 0; j0 < seen; j0 += tile_keys) {
            copy_async_wait<0>();
            __syncthreads(); /* the tile is there, and the one before may be overwritten */
            if (j0 + tile_keys < seen) tile_begin(j0 + tile_keys);
            copy_async_commit();
            if (j0 >= warp_seen) continue;
            const int buffer = j0 / tile_keys % 2;
            const bf16 *key = tiles + buffer * 2 * tile_keys * step,
                       *value = key + tile_keys * step;
            float s[M][tile_keys / 8][4];
            mma_pairs<D, M, tile_keys>(s, q, key);
            if (a.bias)
                mma_diagonals_add<M, tile_keys, false>(s, bias + buffer * window + R - 1 - row);
            int limit[M][2];
            GPU_UNROLL
            for (int half = 0; half < 2 * M; half++)
                limit[half / 2][half % 2] = mma_visible(a, place, row + 8 * half + g) - j0 - 2 * t;
            if (kept.scores)
                scores_keep<M>(s, limit, kept, h, place.begin - range.first + row,
                               place.count - row, j0);
            /* Of the rows of a warp the first sees the fewest keys. */
            if (mma_visible(a, place, row) < j0 + tile_keys) mma_mask<M>(s, limit);
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
                row_finish(a, kept, h, place.begin + r, range.first, mma_visible(a, place, r),
                           place.keys, all[half / 2][half % 2], t == 0);
            bf16 *to = (bf16 *)a.out + (place.begin + r) * a.heads * D + head + 2 * t;
            GPU_UNROLL
            for (int n = 0; n < D / 8; n++) {
                const float *x = out[half / 2][n] + half % 2 * 2;
                mma_pair_store(to + 8 * n, __fmul_rn(x[0], factor), __fmul_rn(x[1], factor), wide);
            }
        }
    }
}

/* Blocks: segments, heads.  Each warp has its own tile of keys and of values; where the values were
 * its rows' sums come to lie, [R][D + 8] floats in the room of 2 R <= tile_keys rows of bf16; then
 * each row has `each` threads with `columns` numbers. */
template <int D, int M, int warps>
static __global__ void __launch_bounds__(32 * warps)
    attention_keys_kernel(struct attention a, struct row_range range, struct kept kept, bool wide)
{
    constexpr int threads = 32 * warps, R = 16 * M, step = D + 8, window = tile_keys + R;
    constexpr int each = threads / R, columns = D / each; /* of a row, when sums are added */
    static_assert(2 * R <= tile_keys && D % each == 0, "sums fit where values were");
    __shared__ struct row_sums tile_sums[warps][R];
    const int thread = (int)threadIdx.x, lane = thread % 32, warp = thread / 32;
    const int g = lane / 4, t = lane % 4, mine = thread / each, column = thread % each;
    const int64_t h = blockIdx.y, head = h * D;
    bf16 *query = dynamic_shared<bf16>(), *tiles = query + R * step;
    bf16 *key = tiles + warp * 2 * tile_keys * step, *value = key + tile_keys * step;
    float *bias = (float *)(tiles + warps * 2 * tile_keys * step) + warp * window;
    struct mma_place place;

    for (int64_t number = 0; mma_place_of_segment<R>(place, a, range, number); number++) {
        if (number > 0) __syncthreads(); /* the tiles may be overwritten */
        const int seen = mma_visible(a, place, place.count - 1);
        const auto keys_begin = [&](int j0) {
            if (j0 < seen) {
                mma_tile_copy<D, tile_keys, 32>(
                    key, (const bf16 *)a.k + (place.key_begin + j0) * a.k_stride + head, a.k_stride,
                    min((int)tile_keys, seen - j0), lane, wide);
                if (a.bias)
                    mma_bias_copy<window - 1, 32>(bias, a, h, j0 - place.position - R + a.bias_span,
                                                  lane);
            }
            copy_async_commit();
        };
        const auto values_begin = [&](int j0) {
            if (j0 < seen)
                mma_tile_copy<D, tile_keys, 32>(
                    value, (const bf16 *)a.v + (place.key_begin + j0) * a.v_stride + head,
                    a.v_stride, min((int)tile_keys, seen - j0), lane, wide);
            copy_async_commit();
        };
        mma_tile_copy<D, R, threads>(query, (const bf16 *)a.q + place.begin * a.q_stride + head,
                                     a.q_stride, place.count, thread, wide);
        keys_begin(warp * tile_keys);
        values_begin(warp * tile_keys);
        copy_async_wait<1>();
        __syncthreads(); /* the query is there */

        struct row_sums all = {-INFINITY, 0.0f};
        float out[columns];
        for (int c = 0; c < columns; c++) out[c] = 0.0f;
        for (int first = 0; first < seen; first += warps * tile_keys) {
            const int j0 = first + warp * tile_keys;
            uint32_t weights[M][tile_keys / 16][4];
            float s[M][tile_keys / 8][4];
            copy_async_wait<1>();
            __syncwarp(); /* the keys are there */
            if (j0 < seen) {
                uint32_t q[M][D / 16][4];
                mma_rows_load<D, M>(q, query, 0);
                mma_pairs<D, M, tile_keys>(s, q, key);
                if (a.bias) mma_diagonals_add<M, tile_keys, false>(s, bias + R - 1);
            }
            __syncwarp(); /* and may be overwritten */
            keys_begin(j0 + warps * tile_keys);
            if (j0 < seen) {
                int limit[M][2];
                GPU_UNROLL
                for (int half = 0; half < 2 * M; half++)
                    limit[half / 2][half % 2] = mma_visible(a, place, 8 * half + g) - j0 - 2 * t;
                if (kept.scores)
                    scores_keep<M>(s, limit, kept, h, place.begin - range.first, place.count, j0);
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
            if (j0 < seen) {
                GPU_UNROLL
                for (int pair = 0; pair < D / 16; pair++)
                    mma_weighted<D, M, tile_keys>(part[pair], weights, value, pair);
            }
            __syncwarp(); /* and may be overwritten */
            if (j0 < seen) {
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
            for (int w = 0; w < warps && first + w * tile_keys < seen; w++) {
                const float2 by = tile_sums_add(all, tile_sums[w][mine]);
                const float *from =
                    (const float *)(tiles + (2 * w + 1) * tile_keys * step) + mine * step + column;
                GPU_UNROLL
                for (int c = 0; c < columns; c++)
                    out[c] = __fmaf_rn(out[c], by.x, __fmul_rn(from[c * each], by.y));
            }
            __syncthreads(); /* and may be overwritten */
            values_begin(j0 + warps * tile_keys);
        }

        if (mine >= place.count) continue;
        const float factor = row_finish(a, kept, h, place.begin + mine, range.first,
                                        mma_visible(a, place, mine), place.keys, all, column == 0);
        bf16 *to = (bf16 *)a.out + (place.begin + mine) * a.heads * D + head + column;
        GPU_UNROLL
        for (int c = 0; c < columns; c++) element_store(to + c * each, __fmul_rn(out[c], factor));
    }
}

/* Query rows of a segment, as far as the host knows: more than that many make the first kernel. */
enum { rows_few = 32 };

template <int D, int M, int warps>
static void rows_launch(struct queue *q, const struct attention_part *part, bool by_segment)
{
    const struct attention *a = part->a;
    constexpr int R = 16 * M * warps;
    const int tiles_kept =
        a->bias && a->bias_span <= tile_keys ? 1 : 2; /* the bias spans the keys */
    const size_t bytes = (size_t)(R + 2 * tiles_kept * tile_keys) * (D + 8) * sizeof(bf16) +
                         (a->bias ? 2 * (tile_keys + R) * sizeof(float) : 0);
    const int64_t tiles =
        a->segments + (by_segment ? 0 : (part->range.end - part->range.first) / R);
    cuda_launch(q, (attention_rows_kernel<D, M, warps>), dim3((unsigned)tiles, (unsigned)a->heads),
                32 * warps, bytes, *a, part->range, part->kept, by_segment,
                attention_is_wide(q, a));
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
                part->kept, attention_is_wide(q, a));
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
    if (rows > rows_few) return rows_launch<D, 1, 4>(q, part, false);
    const bool few_tiles = rows <= 16 && a->bias && a->bias_span <= 4 * tile_keys;
    if (!few_tiles && rows <= 16 && keys_launch<D, 1, warps>(q, part)) return;
    if (!few_tiles && rows > 16 && keys_launch<D, 2, warps>(q, part)) return;
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
