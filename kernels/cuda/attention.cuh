/* What attention and its gradients share: which rows a block has, what they see, tiles of rows in
 * shared memory, scores.  A tile of keys starts at a multiple of tile_keys from its segment's first
 * key, and a score depends on nothing else, so that a row's bits depend on its query, the keys it
 * sees and the bias alone. */
#pragma once
#include "cuda.cuh"
#include "reduce.cuh"
#include "tile_products.cuh"

static constexpr float log2_of_e = 1.44269504f;
enum { tile_keys = 64, score_stride = tile_keys + 1, head_dim_most = 256 };

/* The part [first, end) of a call's query rows. */
struct row_range {
    int64_t first, end;
};

/* What is kept of a part's rows for the capture, row and head; scores NULL: nothing. */
struct kept {
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
    struct kept kept;
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
                                  const struct row_gradients *rows, float *parts,
                                  int64_t parts_most, bool wide);
/* dk, dv: attention_key_gradient.cu. */
void attention_key_gradient_mma(struct queue *q, const struct attention *a,
                                const struct attention_gradients *g,
                                const struct row_gradients *rows, bool wide);

/* A block's query rows, in shared memory. */
template <int R> struct tile_rows {
    int32_t segment[R], key_begin[R], keys[R]; /* keys: of the segment */
    int32_t position[R], visible[R];           /* visible: keys that the row sees */
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
        const int32_t keys = a.key_end[s] - a.key_begin[s];
        int32_t position = (int32_t)begin + thread - first, visible = keys;
        if (a.causal) {
            position += keys - (a.query_begin[s + 1] - first);
            visible = position < 0 ? 0 : position + 1;
        }
        rows.key_begin[thread] = a.key_begin[s];
        rows.keys[thread] = keys;
        rows.position[thread] = position;
        rows.visible[thread] = visible;
    }
    __syncthreads();
}

/* The end of the run of rows from `first` that read the same keys; *seen: keys that any sees. */
template <int R>
static __device__ inline int run_end(const struct tile_rows<R> &rows, int first, int count,
                                     int *seen)
{
    int last = first;
    *seen = 0;
    for (; last < count && rows.key_begin[last] == rows.key_begin[first] &&
           rows.keys[last] == rows.keys[first];
         last++)
        *seen = max(*seen, rows.visible[last]);
    return last;
}

/* to[padded, d] from rows that stand from_stride apart; zeros past `rows` and where a row's bit
 * (modulo 32) is not set.  wide: by 16 bytes. */
template <class T>
static __device__ inline void tile_load(T *to, int stride, const T *from, int64_t from_stride,
                                        int rows, int padded, int d, bool wide,
                                        unsigned only = 0xffffffffu)
{
    if (wide) {
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

/* What a score gets for key j of its segment and a query at `position`. */
static __device__ inline float bias_of(const struct attention &a, int64_t h, int64_t j,
                                       int64_t position)
{
    return a.bias ? a.bias[h * (2 * a.bias_span - 1) + j - position + a.bias_span - 1] : 0.0f;
}

/* May all of a call's rows be read, and its output written, by 16 bytes? */
static inline bool attention_is_wide(const struct queue *q, const struct attention *a)
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

/* False, and an error is kept, where the kernels have no room for a head. */
static inline bool attention_fits(struct queue *q, const struct attention *a)
{
    if (a->head_dim <= head_dim_most) return true;
    cuda_fail(q, ERROR(STATUS_INTERNAL, "attention: heads of %lld; at most %d",
                       (long long)a->head_dim, head_dim_most));
    return false;
}
