/* See heads.h. */
#include "src/rollout/heads.h"

void heads_create(struct heads *heads, struct queue *queue, const struct model_shape *shape,
                  const struct statistic_table *table)
{
    *heads = (struct heads){.queue = queue, .shape = shape, .on = statistics_have_heads(table)};
    heads->rows.kind = heads->kept.kind = MEMORY_CAPTURE;
}

void heads_destroy(struct heads *heads)
{
    if (!heads->queue) return;
    struct buffer *all[] = {&heads->rows,  &heads->kept, &heads->ended, &heads->history,
                            &heads->first, &heads->next, &heads->reply};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) buffer_release(heads->queue, all[i]);
}

static size_t ints_bytes(int64_t count)
{
    return (size_t)count * sizeof(int32_t);
}

status heads_reserve(struct heads *heads, int64_t replies, int64_t rows, int64_t longest)
{
    struct queue *q = heads->queue;
    if (!heads->on) return NULL;
    heads->call.width = heads->shape->layers * heads->shape->heads;
    heads->call.stride = (longest + 15) / 16 * 16;
    const size_t row = (size_t)(heads->call.width * heads->call.stride) * sizeof(float);
    TRY(buffer_reserve(q, &heads->rows, (size_t)replies * row));
    TRY(buffer_reserve(q, &heads->kept, (size_t)rows * row));
    TRY(buffer_reserve(q, &heads->ended, ints_bytes(replies)));
    TRY(buffer_reserve(q, &heads->first, ints_bytes(replies)));
    return buffer_reserve(q, &heads->history, ints_bytes(replies));
}

status heads_begin(struct heads *heads, const struct capture *capture,
                   const struct results *results, const int32_t *history, int64_t replies)
{
    struct queue *q = heads->queue;
    struct head_statistics *call = &heads->call;
    if (!heads->on) return NULL;
    heads->replies = replies;
    call->token = capture->token;
    call->visible = capture->in_v;
    call->sink = capture->sink;
    call->uniform = capture->uniform;
    call->rows = heads->rows.data;
    call->kept = heads->kept.data;
    call->ends = model_shape_ends(heads->shape, call->end);
    results_heads(results, call);
    q->op->zero(q, heads->rows.data,
                (size_t)(replies * call->width * call->stride) * sizeof(float));
    q->op->zero(q, heads->ended.data, ints_bytes(replies));
    return buffer_upload(q, &heads->history, history, ints_bytes(replies));
}

void heads_of_decoder(struct heads *heads, struct model_decoder *decoder,
                      const struct result_places *at)
{
    struct head_statistics *call = &heads->call;
    call->history_of_row = model_decoder_history_of_row(decoder);
    call->key_begin = model_decoder_key_begin(decoder);
    call->key_end = model_decoder_key_end(decoder);
    call->next = NULL;
    call->reply = at->slot;
    call->ended = heads->ended.data;
    call->step = model_decoder_step_of_row(decoder);
    call->at = *at;
}

status heads_of_given(struct heads *heads, const int32_t *next, const int32_t *reply,
                      int64_t tokens, const int32_t *first)
{
    struct queue *q = heads->queue;
    if (!heads->on) return NULL;
    TRY(buffer_upload(q, &heads->next, next, ints_bytes(tokens)));
    TRY(buffer_upload(q, &heads->reply, reply, ints_bytes(tokens)));
    TRY(buffer_upload(q, &heads->first, first, ints_bytes(heads->replies)));
    heads->call.next = heads->next.data;
    heads->call.reply = heads->reply.data;
    heads->call.ended = NULL;
    heads->call.at = (struct result_places){0};
    return NULL;
}

const struct head_statistics *heads_call(const struct heads *heads)
{
    return heads->on ? &heads->call : NULL;
}

void heads_sampled(const struct heads *heads, const int32_t *next, int64_t rows)
{
    struct head_statistics call = heads->call;
    call.next = next;
    if (heads->on) heads->queue->op->head_statistics_sampled(heads->queue, &call, rows);
}

void heads_cut(const struct heads *heads, int64_t reply)
{
    if (heads->on) heads->queue->op->advance(heads->queue, heads->call.ended + reply, 1, 1, 1);
}

void heads_finish(const struct heads *heads)
{
    const struct head_statistics *call = &heads->call;
    if (heads->on)
        heads->queue->op->head_row_entropy(heads->queue, call, heads->history.data,
                                           call->at.slot ? NULL : heads->first.data,
                                           heads->replies);
}
