/* The head, some rows at a time: logits of a whole batch are the largest array there would be
 * (1,024 reply tokens of T5's vocabulary: 132 MB, and half of that again for bf16 gradients), and
 * nobody needs more of them at once than fill the device. */
#include "src/model/t5_parts.h"

#include <math.h>

/* Bounds the logits that exist at once, with their gradients. */
enum { LOGITS_BYTES = 128 << 20 };

/* A whole number of the CPU's blocks of 256 rows, so that the gradient of the head's weights is
 * the same sum in the same order as in one piece; where a vocabulary is too large for that, of 64.
 */
int64_t model_run_head_rows(const struct model_run *run)
{
    const size_t real_bytes = run->model->queue->real_bytes;
    const int64_t bytes = (int64_t)(4 + (real_bytes == 4 ? 0 : real_bytes));
    int64_t rows = LOGITS_BYTES / (run->model->shape.vocabulary * bytes);
    rows = rows >= 256 ? rows / 256 * 256 : rows / 64 * 64;
    if (rows < 64) rows = 64;
    if (run->head_rows > 0) rows = run->head_rows;
    return rows < run->reply_tokens ? rows : run->reply_tokens;
}

void model_run_limit_head(struct model_run *run, int64_t rows)
{
    run->head_rows = rows;
}

static void logits_of(struct model_run *run, float *logits, int64_t first, int64_t rows)
{
    struct model *model = run->model;
    struct queue *q = model->queue;
    q->op->matmul_float(q, logits, real_at(q, run->scaled, first * model->shape.d_model),
                        model->head.packed, rows, false);
}

float *model_run_head_forward(struct model_run *run, int64_t first, int64_t rows)
{
    logits_of(run, run->logits, first, rows);
    return run->logits;
}

real *model_run_dlogits(const struct model_run *run)
{
    return run->dlogits;
}

status model_run_head_backward(struct model_run *run, int64_t first, int64_t rows,
                               const real *dlogits, float *gradients)
{
    struct model *model = run->model;
    struct queue *q = model->queue;
    const struct t5_matrix *head = &model->head;
    const int64_t d = model->shape.d_model;
    if (!run->done || !run->kept || run->replies == 0)
        FAIL(STATUS_INTERNAL, "no activations of replies were kept for the head's backward pass");
    if (first != run->head_undone || first + rows > run->reply_tokens)
        FAIL(STATUS_INTERNAL, "the head's backward pass at row %lld, it stands at %lld of %lld",
             (long long)first, (long long)run->head_undone, (long long)run->reply_tokens);
    real *dscaled;
    TRY(t5_backward_reserve(run, &dscaled));
    q->op->matmul_weight_gradient(q, gradients + head->offset, dlogits,
                                  real_at(q, run->scaled, first * d), rows, head->n, head->k, true);
    q->op->matmul_input_gradient(q, real_at(q, dscaled, first * d), dlogits, head->packed, rows,
                                 false);
    run->head_undone += rows;
    return NULL;
}

status model_run_logp(struct model_run *run, float temperature, float *logp, float *entropy,
                      float *lse)
{
    struct queue *q = run->model->queue;
    const int64_t most = model_run_head_rows(run);
    if (!run->done || run->replies == 0) FAIL(STATUS_INTERNAL, "log-probabilities of no replies");
    for (int64_t first = 0; first < run->reply_tokens; first += most) {
        const int64_t left = run->reply_tokens - first, rows = left < most ? left : most;
        const float *logits = model_run_head_forward(run, first, rows);
        q->op->softmax_loss(q, logp + first, entropy ? entropy + first : NULL,
                            lse ? lse + first : NULL, NULL, logits, NULL, run->targets + first,
                            temperature, rows, run->model->shape.vocabulary);
    }
    return NULL;
}

status model_run_logits(struct model_run *run, float **logits)
{
    struct queue *q = run->model->queue;
    if (!run->done || run->replies == 0) FAIL(STATUS_INTERNAL, "logits of no replies");
    const int64_t count = run->reply_tokens * run->model->shape.vocabulary;
    TRY(buffer_reserve(q, &run->all_logits, (size_t)count * sizeof(float)));
    *logits = run->all_logits.data;
    logits_of(run, *logits, 0, run->reply_tokens);
    return NULL;
}
