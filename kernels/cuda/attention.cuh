/* What attention and its gradients share: which rows a block has, what they see, tiles of rows in
 * shared memory, scores.  A tile of keys starts at a multiple of tile_keys from the first key of
 * its range, and a score depends on nothing else, so that a row's bits depend on its query, the
 * ranges of keys it sees and the bias alone. */
#pragma once
#include "cuda.cuh"
#include "reduce.cuh"
#include "tile_products.cuh"

static constexpr float log2_of_e = 1.44269504f;
enum { tile_keys = 64, score_stride = tile_keys + 1, max_head_dim = 256 };

/* The part [first, end) of a call's query rows. */
struct row_range {
    int64_t first, end;
};

/* What is stored of a part's rows for the capture, row and head; scores NULL: nothing. */
struct stored_scores {
    float *scores; /* [heads][row][key], with these strides */
    int64_t head_stride, row_stride;
    float2 *scale; /* [rows, heads]: weight = e^(score - x) y, or, with base2, 2^(score log2(e) - x)
                    * y */
    int2 *seen;    /* [rows]: x keys of the segment, y of them seen */
    bool base2;
};

struct attention_part {
    const struct attention *a;
    struct row_range range;
    struct stored_scores stored;
};

/* Of bf16 heads of 16, 32, 64 and 128: attention_forward.cu. */
void attention_forward_mma(struct queue *q, const struct attention_part *part);

/* Of such heads with lse and out from the forward pass.  What a row's weights come from, as the
 * first of the two finds and the second takes it: weight = 2^(score log2(e) - lse2). */
struct row_gradients {
    float *lse2, *delta; /* [heads, query_rows] */
};
/* dq, dbias: attention_query_gradient.cu. */
void attention_query_gradient_mma(struct queue *q, const struct attention *a,
                                  const struct attention_gradients *g,
                                  const struct row_gradients *rows, float *parts, int64_t max_parts,
                                  bool aligned);
/* dk, dv: attention_key_gradient.cu. */
void attention_key_gradient_mma(struct queue *q, const struct attention *a,
                                const struct attention_gradients *g,
                                const struct row_gradients *rows, bool aligned);

/* What a->statistics asks for, of the rows of a part whose scores are stored: head_statistics.cu.
 */
void head_statistics_part(struct queue *q, const struct attention_part *part);

/* The weight of a stored score; scale: the row's and head's. */
static __device__ inline float stored_weight(float score, float2 scale, bool base2)
{
    const float weight =
        base2 ? exp2_approximate(__fmaf_rn(score, log2_of_e, -scale.x)) : expf(score - scale.x);
    return __fmul_rn(weight, scale.y); /* rounded as maps have it */
}

/* How many ranges of keys stand before those of segment s. */
static __device__ inline int32_t ranges_before(const struct attention &a, int64_t s)
{
    return a.range_begin ? a.range_begin[s] : (int32_t)s;
}

/* The segment that range r belongs to. */
static __device__ inline int64_t segment_of_range(const struct attention &a, int32_t r)
{
    if (!a.range_begin) return r;
    int64_t low = 0, high = a.segments - 1; /* the last segment whose ranges begin at or before r */
    while (low < high) {
        const int64_t middle = (low + high + 1) / 2;
        if (a.range_begin[middle] <= r)
            low = middle;
        else
            high = middle - 1;
    }
    return low;
}

/* Keys of ranges [first, end). */
static __device__ inline int32_t keys_count(const struct attention &a, int32_t first, int32_t end)
{
    int32_t keys = 0;
    for (int32_t r = first; r < end; r++) keys += a.key_end[r] - a.key_begin[r];
    return keys;
}

static __device__ inline int32_t keys_of_segment(const struct attention &a, int64_t s)
{
    return keys_count(a, ranges_before(a, s), ranges_before(a, s + 1));
}

static __device__ inline bool same_keys(const struct attention &a, int64_t s, int64_t t)
{
    const int32_t i = ranges_before(a, s), j = ranges_before(a, t);
    const int32_t ranges = ranges_before(a, s + 1) - i;
    bool same = ranges_before(a, t + 1) - j == ranges;
    for (int32_t n = 0; same && n < ranges; n++)
        same = a.key_begin[i + n] == a.key_begin[j + n] && a.key_end[i + n] == a.key_end[j + n];
    return same;
}

/* The first element in a row of k or v of what head h of q reads. */
static __device__ inline int64_t key_column(const struct attention &a, int64_t h)
{
    return (int)h / ((int)a.heads / (int)a.kv_heads) * a.head_dim;
}

/* A tile of keys: rows [row, row + tile_keys) of k and v, as far as they lie before `end`. */
struct key_tile {
    int32_t range, range_end; /* its range; behind the segment's last */
    int32_t row, end;         /* end: of the range's rows */
    int32_t first;            /* the first key's number among the segment's */
};

/* Moves on by some tiles; behind the last one `first` is the number of keys. */
static __device__ inline void key_tile_advance(struct key_tile &tile, const struct attention &a,
                                               int tiles)
{
    for (;;) {
        const int left = (tile.end - tile.row + tile_keys - 1) / tile_keys;
        if (tiles < left) {
            tile.row += tiles * tile_keys, tile.first += tiles * tile_keys;
            return;
        }
        tile.first += tile.end - tile.row, tile.row = tile.end;
        tiles -= left;
        if (tile.range + 1 >= tile.range_end) return;
        tile.range++;
        tile.row = a.key_begin[tile.range], tile.end = a.key_end[tile.range];
    }
}

/* Tile `number`, from 0, of ranges [range, range_end). */
static __device__ inline struct key_tile key_tile_at(const struct attention &a, int32_t range,
                                                     int32_t range_end, int number)
{
    struct key_tile tile = {range, range_end, 0, 0, 0};
    if (range < range_end) tile.row = a.key_begin[range], tile.end = a.key_end[range];
    key_tile_advance(tile, a, number);
    return tile;
}

/* Keys of the tile that are among the segment's first `seen`. */
static __device__ inline int key_tile_rows(const struct key_tile &tile, int seen)
{
    return min((int)tile_keys, min(tile.end - tile.row, seen - tile.first));
}

/* How many tiles hold the first `seen` keys. */
static __device__ inline int key_tiles(const struct attention &a, int32_t range, int32_t range_end,
                                       int seen)
{
    int tiles = 0;
    for (; range < range_end && seen > 0; range++) {
        const int keys = min(a.key_end[range] - a.key_begin[range], seen);
        tiles += (keys + tile_keys - 1) / tile_keys;
        seen -= keys;
    }
    return tiles;
}

/* A block's query rows, in shared memory. */
template <int R> struct tile_rows {
    int32_t segment[R], keys[R];     /* keys: of the segment */
    int32_t position[R], visible[R]; /* visible: keys that the row sees */
};

/* Fills `rows` for query rows [begin, begin + count).  All threads call it. */
template <int R>
static __device__ inline void tile_rows_find(struct tile_rows<R> &rows, const struct attention &a,
                                             int64_t begin, int count)
{
    const int thread = (int)threadIdx.x;
    for (int64_t s = thread; s < a.segments; s += blockDim.x) {
        const int64_t first = max((int64_t)a.query_begin[s], begin);
        const int64_t end = min((int64_t)a.query_begin[s + 1], begin + count);
        for (int64_t row = first; row < end; row++) rows.segment[row - begin] = (int32_t)s;
    }
    __syncthreads();
    if (thread < count) {
        const int32_t s = rows.segment[thread], first = a.query_begin[s];
        const int32_t keys = keys_of_segment(a, s);
        int32_t position = (int32_t)begin + thread - first, visible = keys;
        if (a.causal) {
            position += keys - (a.query_begin[s + 1] - first);
            visible = position < 0 ? 0 : position + 1;
        }
        rows.keys[thread] = keys;
        rows.position[thread] = position;
        rows.visible[thread] = visible;
    }
    __syncthreads();
}

/* The end of the run of rows from `first` that read the same keys; *seen: keys that any sees. */
template <int R>
static __device__ inline int run_end(const struct attention &a, const struct tile_rows<R> &rows,
                                     int first, int count, int *seen)
{
    int last = first;
    *seen = 0;
    for (; last < count; last++) {
        const int32_t s = rows.segment[first], t = rows.segment[last];
        if (t != s && t != rows.segment[last - 1] && !same_keys(a, s, t)) break;
        *seen = max(*seen, rows.visible[last]);
    }
    return last;
}

/* to[padded, d] from rows that stand from_stride apart; zeros past `rows` and where a row's bit
 * (modulo 32) is not set.  aligned: by 16 bytes. */
template <class T>
static __device__ inline void tile_load(T *to, int stride, const T *from, int64_t from_stride,
                                        int rows, int padded, int d, bool aligned,
                                        unsigned only = 0xffffffffu)
{
    if (aligned) {
        const int per = 16 / (int)sizeof(T), each = d / per;
        for (int i = (int)threadIdx.x; i < padded * each; i += (int)blockDim.x) {
            const int row = i / each, column = i % each * per;
            uint4 four = {};
            if (row < rows && (only >> (row & 31) & 1))
                four = *(const uint4 *)(from + row * from_stride + column);
            uint32_t *word = (uint32_t *)(to + row * stride + column);
            word[0] = four.x, word[1] = four.y, word[2] = four.z, word[3] = four.w;
        }
        return;
    }
    for (int i = (int)threadIdx.x; i < padded * d; i += (int)blockDim.x) {
        const int row = i / d, column = i % d;
        if (row < rows && (only >> (row & 31) & 1))
            to[row * stride + column] = from[row * from_stride + column];
        else
            element_store(to + row * stride + column, 0.0f);
    }
}

/* The score of q . k = dot for key j of the segment and a query at `position`. */
static __device__ inline float score_of(const struct attention &a, int64_t h, int64_t j,
                                        int64_t position, float dot)
{
    const float score = __fmul_rn(dot, a.scale);
    if (!a.bias) return score;
    return __fadd_rn(score, a.bias[h * (2 * a.bias_span - 1) + j - position + a.bias_span - 1]);
}

/* May all of a call's rows be read, and its output written, by 16 bytes? */
static inline bool attention_is_aligned(const struct queue *q, const struct attention *a)
{
    const uintptr_t bytes = q->real_bytes;
    return ((uintptr_t)a->q | (uintptr_t)a->k | (uintptr_t)a->v | (uintptr_t)a->out |
            (uintptr_t)a->q_stride * bytes | (uintptr_t)a->k_stride * bytes |
            (uintptr_t)a->v_stride * bytes | (uintptr_t)a->head_dim * bytes) %
               16 ==
           0;
}

/* Are there kernels with tensor cores for these heads?  Rows that must have equal bits, of a decode
 * step and of training, get the same answer. */
static inline bool attention_has_mma(const struct queue *q, const struct attention *a)
{
    const int64_t d = a->head_dim;
    return q->real_bytes == 2 && (d == 16 || d == 32 || d == 64 || d == 128);
}

/* False, and an error is stored, where the kernels have no room for a head. */
static inline bool attention_fits(struct queue *q, const struct attention *a)
{
    if (a->head_dim <= max_head_dim) return true;
    cuda_fail(q, ERROR(STATUS_INTERNAL, "attention: heads of %lld; at most %d",
                       (long long)a->head_dim, max_head_dim));
    return false;
}
