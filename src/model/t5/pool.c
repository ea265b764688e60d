#include "src/model/t5/pool.h"

#include <math.h>

static int64_t queries_of(const struct t5_run *run)
{
    return t5_of(run->common.model)->shape->summary_slots;
}

void t5_pool_place_integers(struct t5_run *run, struct workspace *workspace)
{
    struct t5_pool *pool = &run->pool;
    const int64_t k = queries_of(run);
    if (!k) return;
    pool->query = workspace_ints(workspace, run->summary_count * k);
    pool->query_begin = workspace_ints(workspace, run->summary_count + 1);
    pool->key_begin = workspace_ints(workspace, run->summary_count + 1);
    pool->key_end = workspace_ints(workspace, run->summary_count + 1);
    pool->row = workspace_ints(workspace, 2 * run->cut_tokens);
}

void t5_pool_fill(const struct t5_run *run)
{
    const struct t5_pool *pool = &run->pool;
    const int64_t k = queries_of(run), count = run->summary_count;
    if (!k) return;
    for (int64_t i = 0; i < count * k; i++) pool->query[i] = (int32_t)(i % k);
    for (int64_t i = 0; i < count; i++) {
        const struct t5_summary *s = &run->summaries[i];
        pool->query_begin[i] = (int32_t)(i * k);
        pool->key_begin[i] = run->cut_begin[s->first_turn];
        pool->key_end[i] = run->cut_begin[s->first_turn + s->turns];
    }
    pool->query_begin[count] = (int32_t)(count * k);
    for (int64_t i = 0; i < 2 * run->cut_tokens; i++) pool->row[i] = (int32_t)(i % run->cut_tokens);
}

void t5_pool_place(struct t5_run *run, struct workspace *workspace)
{
    struct t5_pool *pool = &run->pool;
    const int64_t d = run->common.model->shape->width, rows = run->summary_count * queries_of(run);
    if (!queries_of(run)) return;
    pool->q = workspace_reals(workspace, rows * d);
    pool->out = workspace_reals(workspace, rows * d);
    if (!run->common.keep) return;
    pool->lse = workspace_floats(workspace, rows * d); /* at most as many heads as elements */
    pool->dout = workspace_reals(workspace, rows * d);
    pool->dq = workspace_reals(workspace, rows * d);
    pool->dkv = workspace_reals(workspace, 2 * run->cut_tokens * d);
    pool->dturns = workspace_floats(workspace, run->cut_tokens * d);
}

static struct attention pool_attention(const struct t5_run *run, const real *turns)
{
    const struct t5_pool *pool = &run->pool;
    const int64_t d = run->common.model->shape->width;
    int64_t head = 1;
    while (head < 64 && d % (2 * head) == 0) head *= 2;
    return (struct attention){.segments = run->summary_count,
                              .heads = d / head,
                              .kv_heads = d / head,
                              .head_dim = head,
                              .scale = 1.0f / sqrtf((float)head),
                              .query_rows = run->summary_count * queries_of(run),
                              .query_begin = pool->query_begin,
                              .key_begin = pool->key_begin,
                              .key_end = pool->key_end,
                              .q = pool->q,
                              .k = turns,
                              .v = turns,
                              .q_stride = d,
                              .k_stride = d,
                              .v_stride = d,
                              .out = pool->out,
                              .lse = run->common.keep ? pool->lse : NULL};
}

void t5_pool_forward(struct t5_run *run, const real *turns)
{
    const struct t5 *t5 = t5_of(run->common.model);
    struct queue *q = t5->common.queue;
    const struct attention attention = pool_attention(run, turns);
    q->op->embedding(q, run->pool.q, t5->common.parameters.values + t5->summary_queries,
                     run->pool.query, attention.query_rows, t5->shape->common.width);
    q->op->attention(q, &attention);
}

void t5_pool_backward(struct t5_run *run, const real *turns, real *dturns, float *gradients)
{
    const struct t5 *t5 = t5_of(run->common.model);
    const struct t5_pool *pool = &run->pool;
    struct queue *q = t5->common.queue;
    const int64_t d = t5->shape->common.width, rows = run->cut_tokens;
    const struct attention attention = pool_attention(run, turns);
    const struct attention_gradients to = {.dout = pool->dout,
                                           .dq = pool->dq,
                                           .dk = pool->dkv,
                                           .dv = real_at(q, pool->dkv, rows * d),
                                           .key_rows = rows};
    float *queries = model_gradient(&t5->common, gradients, t5->summary_queries);
    q->op->attention_backward(q, &attention, &to);
    if (queries)
        q->op->embedding_backward(q, queries, pool->dq, pool->query, attention.query_rows, d);
    /* A state is key and value. */
    q->op->zero(q, pool->dturns, (size_t)(rows * d) * sizeof(float));
    q->op->embedding_backward(q, pool->dturns, pool->dkv, pool->row, 2 * rows, d);
    q->op->narrow(q, dturns, pool->dturns, rows * d);
}
