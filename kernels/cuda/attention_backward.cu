/* Gradients of attention.  Weights are computed again tile by tile; there is no buffer of queries
 * times keys.  With w the weights and dp = dout v^T:
 *   ds = w (dp - delta), delta = sum(w dp) = dout . out;
 *   dq = scale ds k;  dk = scale ds^T q;  dv = w^T dout;  dbias += ds along its diagonals.
 * Blocks of query rows give dq, each row's scale and their own part of dbias; blocks of keys then
 * go over the query rows in order for dk and dv.  No atomics: every sum has one order. */
#include "attention_plain.cuh"

static bool backward_is_aligned(const struct queue *q, const struct attention *a,
                                const struct attention_gradients *g)
{
    return attention_is_aligned(q, a) && (uintptr_t)g->dout % 16 == 0;
}

static void backward_plain(struct queue *q, const struct attention *a,
                           const struct attention_gradients *g)
{
    const int64_t biases = g->dbias ? a->heads * (2 * a->bias_span - 1) : 0;
    int64_t tiles = cuda_divide_up(a->query_rows, plain_query_rows(a));
    if (biases && tiles * biases * (int64_t)sizeof(float) > plain_parts_bytes)
        tiles = max((int64_t)1, plain_parts_bytes / (biases * (int64_t)sizeof(float)));
    const int64_t scales_bytes =
        16 * cuda_divide_up(a->query_rows * a->heads * (int64_t)sizeof(struct row_scale), 16);
    char *memory = (char *)cuda_scratch(
        q, (size_t)(scales_bytes + tiles * biases * (int64_t)sizeof(float) + 16));
    if (!memory) return;
    struct row_scale *scales = (struct row_scale *)memory;
    float *parts = g->dbias ? (float *)(memory + scales_bytes) : NULL;
    const bool aligned = backward_is_aligned(q, a, g);
    attention_query_gradient_plain(q, a, g, scales, parts, max(tiles, (int64_t)1), aligned);
    if (g->key_rows > 0) attention_key_gradient_plain(q, a, g, scales, aligned);
}

/* Of bf16 heads, with what the forward pass stored. */
static void backward_mma(struct queue *q, const struct attention *a,
                         const struct attention_gradients *g)
{
    const int64_t rows = a->query_rows, numbers = cuda_divide_up(rows * a->heads, 64) * 64;
    const int64_t biases = g->dbias ? a->heads * (2 * a->bias_span - 1) : 0;
    int64_t parts = rows / tile_keys + min(a->segments, rows); /* a part a tile of rows */
    if (biases && parts * biases * (int64_t)sizeof(float) > plain_parts_bytes)
        parts = max((int64_t)1, plain_parts_bytes / (biases * (int64_t)sizeof(float)));
    float *memory =
        (float *)cuda_scratch(q, (size_t)(2 * numbers + parts * biases + 1) * sizeof(float));
    if (!memory) return;
    const struct row_gradients stored = {memory, memory + numbers};
    const bool aligned = backward_is_aligned(q, a, g) &&
                         ((uintptr_t)g->dq | (uintptr_t)g->dk | (uintptr_t)g->dv) % 16 == 0;
    if (rows > 0)
        attention_query_gradient_mma(q, a, g, &stored, g->dbias ? memory + 2 * numbers : NULL,
                                     parts, aligned);
    if (g->key_rows > 0) attention_key_gradient_mma(q, a, g, &stored, aligned);
}

void cuda_attention_backward(struct queue *q, const struct attention *a,
                             const struct attention_gradients *g)
{
    if (a->segments == 0 || !attention_fits(q, a)) return;
    const bool stored = a->lse && a->out && (a->bias || !g->dbias);
    /* Heads of 128 take more than smaller GPUs have. */
    const bool room = a->head_dim <= 64 || cuda_queue_of(q)->block_shared >= 128 << 10;
    if (attention_has_mma(q, a) && stored && room) return backward_mma(q, a, g);
    backward_plain(q, a, g);
}
