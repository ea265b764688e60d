/* Attention by tensor cores: what the kernels for bf16 heads of 16, 32, 64 and 128 are made of.
 *
 * There is one arithmetic of a row, whichever kernel, block or warp does it.  Keys are cut into
 * tiles of tile_keys from the first of each range on.  A tile by itself gives its largest score,
 * the sum of e^(score - largest) and the weighted sum of its values; these are added tile by tile,
 * in ascending order (tile_sums_add).  A tile in which the row sees no key changes nothing, not a
 * bit. So tiles can go to one warp after another, as in training, or to as many warps at once, as
 * in a decode step, with equal bits.  What bits depend on is written with __fmaf_rn and its kind:
 * the compiler chooses otherwise where to round once, in each kernel anew.
 *
 * A warp has 16 M query rows.  In a 16 x 8 tile of a result lane 4 g + t has columns 2 t and 2 t +
 * 1 of rows g and g + 8: numbers [0], [1] and [2], [3] (gpu.cuh, mma_m16n8k16).  Scores become the
 * left operand of the next product without leaving their lane.  Tiles lie in shared memory with
 * rows of D + 8 elements, so that the eight rows of an ldmatrix lie in 32 banks. */
#pragma once
#include "attention.cuh"

typedef __nv_bfloat16 bf16;

static constexpr float ln_of_2 = 0.693147181f;

/* ROWS rows of D elements that stand from_stride apart; zeros for rows that are not has(row).
 * aligned: by 16 bytes, which are there after copy_async_wait. */
template <int D, int ROWS, int threads, class F>
static __device__ inline void mma_rows_copy(bf16 *to, const bf16 *from, int64_t from_stride,
                                            int thread, bool aligned, const F &has)
{
    constexpr int step = D + 8, each = D / 8, down = threads / each;
    static_assert(threads % each == 0, "a thread stays in its columns");
    if (aligned) {
        const int first = thread / each, column = thread % each * 8;
        const bf16 *p = from + first * from_stride + column;
        bf16 *place = to + first * step + column;
        GPU_UNROLL
        for (int row = 0; row < ROWS; row += down, p += down * from_stride, place += down * step)
            if (ROWS % down == 0 || row + first < ROWS)
                copy_async_16_or_zero(place, p, has(row + first));
        return;
    }
    for (int i = thread; i < ROWS * D; i += threads) {
        const int row = i / D, column = i % D;
        if (has(row))
            to[row * step + column] = from[row * from_stride + column];
        else
            element_store(to + row * step + column, 0.0f);
    }
}

/* Of the first `rows` of them. */
template <int D, int ROWS, int threads>
static __device__ inline void mma_tile_copy(bf16 *to, const bf16 *from, int64_t from_stride,
                                            int rows, int thread, bool aligned)
{
    mma_rows_copy<D, ROWS, threads>(to, from, from_stride, thread, aligned,
                                    [rows](int row) { return row < rows; });
}

static __device__ inline uint32_t mma_word(float low, float high)
{
    const __nv_bfloat162 two = __floats2bfloat162_rn(low, high);
    uint32_t word;
    memcpy(&word, &two, sizeof word);
    return word;
}

/* Two neighbours of a row; aligned: the first lies at a multiple of 4 bytes. */
static __device__ inline float2 mma_pair_load(const bf16 *from, bool aligned)
{
    if (aligned) return __bfloat1622float2(*(const __nv_bfloat162 *)from);
    return make_float2(element_load(from), element_load(from + 1));
}

static __device__ inline void mma_pair_store(bf16 *to, float x, float y, bool aligned)
{
    if (aligned) {
        *(uint32_t *)to = mma_word(x, y);
        return;
    }
    element_store(to, x);
    element_store(to + 1, y);
}

/* to[i] = bias[h, first + i]; 0 past the ends.  There after copy_async_wait. */
template <int COUNT, int threads>
static __device__ inline void mma_bias_copy(float *to, const struct attention &a, int64_t h,
                                            int64_t first, int thread)
{
    const int64_t width = 2 * a.bias_span - 1;
    for (int i = thread; i < COUNT; i += threads)
        if (first + i >= 0 && first + i < width)
            copy_async_4(to + i, a.bias + h * width + first + i);
        else
            to[i] = 0.0f;
}

/* Rows [row, row + 16 M) of a tile as left operands. */
template <int D, int M>
static __device__ inline void mma_rows_load(uint32_t (&to)[M][D / 16][4], const bf16 *tile, int row)
{
    const int lane = (int)threadIdx.x % 32;
    GPU_UNROLL
    for (int m = 0; m < M; m++) {
        GPU_UNROLL
        for (int k = 0; k < D / 16; k++)
            ldmatrix_x4<false>(to[m][k], tile + (row + 16 * m + lane % 16) * (D + 8) + 16 * k +
                                             lane / 16 * 8);
    }
}

/* to = left right^T with N rows of right: a chain over d for each number. */
template <int D, int M, int N>
static __device__ inline void mma_pairs(float (&to)[M][N / 8][4],
                                        const uint32_t (&left)[M][D / 16][4], const bf16 *right)
{
    const int lane = (int)threadIdx.x % 32;
    const bf16 *row = right + (lane / 16 * 8 + lane % 8) * (D + 8) + lane / 8 % 2 * 8;
    GPU_UNROLL
    for (int m = 0; m < M; m++) {
        GPU_UNROLL
        for (int n = 0; n < N / 8; n++) {
            GPU_UNROLL
            for (int r = 0; r < 4; r++) to[m][n][r] = 0.0f;
        }
    }
    GPU_UNROLL
    for (int k = 0; k < D / 16; k++) {
        GPU_UNROLL
        for (int n = 0; n < N / 8; n += 2) {
            uint32_t b[4];
            ldmatrix_x4<false>(b, row + 8 * n * (D + 8) + 16 * k);
            GPU_UNROLL
            for (int m = 0; m < M; m++) {
                mma_m16n8k16(to[m][n], left[m][k], b);
                mma_m16n8k16(to[m][n + 1], left[m][k], b + 2);
            }
        }
    }
}

/* Results as left operands, rounded to bf16. */
template <int M, int N>
static __device__ inline void mma_narrow(uint32_t (&to)[M][N / 16][4],
                                         const float (&from)[M][N / 8][4])
{
    GPU_UNROLL
    for (int m = 0; m < M; m++) {
        GPU_UNROLL
        for (int k = 0; k < N / 16; k++) {
            GPU_UNROLL
            for (int r = 0; r < 4; r++)
                to[m][k][r] = mma_word(from[m][2 * k + r / 2][r % 2 * 2],
                                       from[m][2 * k + r / 2][r % 2 * 2 + 1]);
        }
    }
}

/* to += weights tile[:, 16 pair .. 16 pair + 15], with K rows of the tile in ascending order. */
template <int D, int M, int K>
static __device__ inline void mma_weighted(float (&to)[M][2][4],
                                           const uint32_t (&weights)[M][K / 16][4],
                                           const bf16 *tile, int pair)
{
    const int lane = (int)threadIdx.x % 32;
    const bf16 *row = tile + lane % 16 * (D + 8) + 16 * pair + lane / 16 * 8;
    GPU_UNROLL
    for (int k = 0; k < K / 16; k++) {
        uint32_t b[4];
        ldmatrix_x4<true>(b, row + 16 * k * (D + 8));
        GPU_UNROLL
        for (int m = 0; m < M; m++) {
            mma_m16n8k16(to[m][0], weights[m][k], b);
            mma_m16n8k16(to[m][1], weights[m][k], b + 2);
        }
    }
}

/* Products become scores; a scale of 1 costs nothing. */
template <int M, int N>
static __device__ inline void mma_scale(float (&s)[M][N / 8][4], float scale)
{
    if (scale == 1.0f) return;
    GPU_UNROLL
    for (int m = 0; m < M; m++) {
        GPU_UNROLL
        for (int n = 0; n < N / 8; n++) {
            GPU_UNROLL
            for (int r = 0; r < 4; r++) s[m][n][r] = __fmul_rn(s[m][n][r], scale);
        }
    }
}

/* Adds along diagonals: of[column - row] for row and column of [16 M, N] results, or of[row -
 * column] (across).  A lane has few diagonals, each read once. */
template <int M, int N, bool across>
static __device__ inline void mma_diagonals_add(float (&to)[M][N / 8][4], const float *of)
{
    const int lane = (int)threadIdx.x % 32, g = lane / 4, t = lane % 4;
    GPU_UNROLL
    for (int x = 1 - 2 * M; x < N / 8; x++) {
        GPU_UNROLL
        for (int e = 0; e < 2; e++) {
            const int distance = 8 * x + 2 * t + e - g;
            const float bias = of[across ? -distance : distance];
            GPU_UNROLL
            for (int half = 0; half < 2 * M; half++)
                if (x + half >= 0 && x + half < N / 8) {
                    float *s = &to[half / 2][x + half][half % 2 * 2 + e];
                    *s = __fadd_rn(*s, bias);
                }
        }
    }
}

/* Query rows of a block, in one run of rows that read the same keys. */
struct mma_place {
    int64_t begin;    /* the first row */
    int64_t position; /* its own, where there is a bias or a causal mask */
    int count;
    int32_t range, range_end; /* of keys */
    int32_t keys;             /* of the segment */
};

/* Keys that row r of a place sees. */
static __device__ inline int mma_visible(const struct attention &a, const struct mma_place &place,
                                         int r)
{
    return a.causal ? min(max((int)place.position + r + 1, 0), place.keys) : place.keys;
}

static __device__ inline int64_t row_clamped(int64_t row, const struct row_range &range)
{
    return min(max(row, range.first), range.end);
}

static __device__ inline void mma_place_set(struct mma_place &place, const struct attention &a,
                                            int64_t s, int64_t begin, int64_t count)
{
    const int32_t first = a.query_begin[s], queries = a.query_begin[s + 1] - first;
    place.begin = begin;
    place.count = (int)count;
    place.range = ranges_before(a, s);
    place.range_end = ranges_before(a, s + 1);
    place.keys = keys_count(a, place.range, place.range_end);
    place.position = begin - first + (a.causal ? place.keys - queries : 0);
}

/* Rows number * R and on of segment blockIdx.x; false where there are none. */
template <int R>
static __device__ inline bool mma_place_of_segment(struct mma_place &place,
                                                   const struct attention &a,
                                                   const struct row_range &range, int64_t number)
{
    const int64_t s = blockIdx.x, end = row_clamped(a.query_begin[s + 1], range);
    const int64_t begin = row_clamped(a.query_begin[s], range) + number * R;
    if (begin >= end) return false;
    mma_place_set(place, a, s, begin, min((int64_t)R, end - begin));
    return true;
}

/* Tiles of R rows are counted off over runs of segments that read the same keys (one segment
 * where positions matter; a run ends where `threads` segments do): tile blockIdx.x, or false. There
 * are at most segments + rows / R tiles.  All threads call it; `shared` is the block's. */
template <int R, int threads>
static __device__ inline bool mma_place_find(struct mma_place &shared, const struct attention &a,
                                             const struct row_range &range)
{
    constexpr int warps = threads / 32;
    __shared__ unsigned starts[warps];
    __shared__ int totals[warps];
    const int thread = (int)threadIdx.x, lane = thread % 32, warp = thread / 32;
    const bool per_segment = a.bias || a.causal;
    const int tile = (int)blockIdx.x;
    int before = 0;
    for (int64_t strip = 0; strip < a.segments; strip += threads) {
        const int64_t s = strip + thread;
        const bool is_start =
            s < a.segments && (per_segment || thread == 0 || !same_keys(a, s - 1, s));
        const unsigned mask = __ballot_sync(0xffffffffu, is_start);
        if (lane == 0) starts[warp] = mask;
        __syncthreads();
        int64_t begin = 0, end = 0;
        if (is_start) { /* to the next start, or the end of the strip */
            int next = warp;
            unsigned left = mask & ~((2u << lane) - 1);
            while (!left && ++next < warps) left = starts[next];
            const int64_t last = strip + (left ? 32 * next + __ffs((int)left) - 1 : threads);
            begin = row_clamped(a.query_begin[s], range);
            end = row_clamped(a.query_begin[min(last, a.segments)], range);
        }
        const int tiles = (int)((end - begin + R - 1) / R);
        int sum = tiles;
        for (int by = 1; by < 32; by *= 2) {
            const int left = __shfl_up_sync(0xffffffffu, sum, (unsigned)by);
            if (lane >= by) sum += left;
        }
        if (lane == 31) totals[warp] = sum;
        __syncthreads();
        int all = before;
        for (int w = 0; w < warps; w++) {
            if (w == warp) sum += all;
            all += totals[w];
        }
        if (tile < sum && tile >= sum - tiles) {
            const int64_t first = begin + (int64_t)(tile - (sum - tiles)) * R;
            mma_place_set(shared, a, s, first, min((int64_t)R, end - first));
        }
        __syncthreads();
        if (tile < all) return true;
        before = all;
    }
    return false;
}

/* Keys of a tile that row r of a place sees, or more where they are all of them. */
static __device__ inline int mma_limit(const struct attention &a, const struct mma_place &place,
                                       const struct key_tile &tile, int r)
{
    return min(mma_visible(a, place, r) - tile.first, tile.end - tile.row);
}

/* Of a row: top is its largest score times log2(e), sum that of 2^(score log2(e) - top). */
struct row_sums {
    float top, sum;
};

/* Scores of keys that a row does not see: -inf.  limit: keys of the tile that rows g and g + 8 of
 * each 16 see, less 2 t. */
template <int M>
static __device__ inline void mma_mask(float (&s)[M][tile_keys / 8][4], const int (&limit)[M][2])
{
    GPU_UNROLL
    for (int m = 0; m < M; m++) {
        GPU_UNROLL
        for (int n = 0; n < tile_keys / 8; n++) {
            GPU_UNROLL
            for (int r = 0; r < 4; r++)
                if (8 * n + r % 2 >= limit[m][r / 2]) s[m][n][r] = -INFINITY;
        }
    }
}

/* Scores become weights, each row's by itself.  All lanes of a row get its sums. */
template <int M>
static __device__ inline void mma_softmax(float (&s)[M][tile_keys / 8][4],
                                          struct row_sums (&of)[M][2])
{
    GPU_UNROLL
    for (int m = 0; m < M; m++) {
        GPU_UNROLL
        for (int half = 0; half < 2; half++) {
            float top = -INFINITY, sum = 0.0f;
            GPU_UNROLL
            for (int n = 0; n < tile_keys / 8; n++)
                top = fmaxf(top, fmaxf(s[m][n][2 * half], s[m][n][2 * half + 1]));
            top = fmaxf(top, __shfl_xor_sync(0xffffffffu, top, 1));
            top = __fmul_rn(fmaxf(top, __shfl_xor_sync(0xffffffffu, top, 2)), log2_of_e);
            const float shift = top == -INFINITY ? 0.0f : top; /* no inf - inf */
            GPU_UNROLL
            for (int n = 0; n < tile_keys / 8; n++) {
                GPU_UNROLL
                for (int e = 2 * half; e < 2 * half + 2; e++) {
                    s[m][n][e] = exp2_approximate(__fmaf_rn(s[m][n][e], log2_of_e, -shift));
                    sum = __fadd_rn(sum, s[m][n][e]);
                }
            }
            sum = __fadd_rn(sum, __shfl_xor_sync(0xffffffffu, sum, 1));
            of[m][half] = {top, __fadd_rn(sum, __shfl_xor_sync(0xffffffffu, sum, 2))};
        }
    }
}

/* A row's next tile.  What was summed so far is to be multiplied by the result's x, what the tile
 * gives by its y: total = fma(total, x, tile y). */
static __device__ inline float2 tile_sums_add(struct row_sums &all, const struct row_sums &tile)
{
    const float top = fmaxf(all.top, tile.top), shift = top == -INFINITY ? 0.0f : top;
    const float2 by = make_float2(exp2_approximate(__fadd_rn(all.top, -shift)),
                                  exp2_approximate(__fadd_rn(tile.top, -shift)));
    all = {top, __fmaf_rn(all.sum, by.x, __fmul_rn(tile.sum, by.y))};
    return by;
}

/* A row is done: what its weighted sums are to be multiplied by.  stores: for the one lane that
 * stores the row's sums. */
static __device__ inline float row_finish(const struct attention &a,
                                          const struct stored_scores &stored, int64_t h,
                                          int64_t row, int64_t first_row, int visible, int keys,
                                          const struct row_sums &all, bool stores)
{
    const float factor = visible > 0 ? __frcp_rn(all.sum) : 0.0f;
    if (!stores) return factor;
    if (a.lse)
        a.lse[row * a.heads + h] =
            visible > 0 ? __fmul_rn(__fadd_rn(all.top, log2f(all.sum)), ln_of_2) : -INFINITY;
    if (!stored.scores) return factor;
    stored.scale[(row - first_row) * a.heads + h] = make_float2(all.top, factor);
    if (h == 0) stored.seen[row - first_row] = make_int2(keys, visible);
    return factor;
}

/* Keeps the scores that rows below `count` see, for the capture; the place's row `row` is the
 * warp's first. */
template <int M>
static __device__ inline void
scores_store(const float (&s)[M][tile_keys / 8][4], const int (&limit)[M][2],
             const struct stored_scores &stored, int64_t h, int64_t row, int count, int j0)
{
    const int lane = (int)threadIdx.x % 32, g = lane / 4, t = lane % 4;
    GPU_UNROLL
    for (int half = 0; half < 2 * M; half++) {
        if (8 * half + g >= count) continue;
        float *to = stored.scores + h * stored.head_stride +
                    (row + 8 * half + g) * stored.row_stride + j0 + 2 * t;
        GPU_UNROLL
        for (int n = 0; n < tile_keys / 8; n++) {
            GPU_UNROLL
            for (int e = 0; e < 2; e++)
                if (8 * n + e < limit[half / 2][half % 2])
                    to[8 * n + e] = s[half / 2][n][half % 2 * 2 + e];
        }
    }
}
