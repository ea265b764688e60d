/* See received.h. */
#include "src/rollout/received.h"

#include "src/base/memory.h"

#include <string.h>

void received_create(struct received *received, struct queue *queue)
{
    *received = (struct received){.queue = queue};
    received->sums.kind = received->ended.kind = MEMORY_CAPTURE;
}

void received_destroy(struct received *received)
{
    if (!received->queue) return;
    buffer_release(received->queue, &received->sums);
    buffer_release(received->queue, &received->ended);
    host_buffer_release(received->queue, &received->host);
}

status received_reserve(struct received *received, bool on, int64_t replies, int64_t longest)
{
    received->on = on;
    if (!on) return NULL;
    received->call.stride = longest;
    const size_t bytes = (size_t)(replies * longest) * sizeof(float);
    TRY(buffer_reserve(received->queue, &received->sums, bytes));
    TRY(buffer_reserve(received->queue, &received->ended, (size_t)replies * sizeof(int32_t)));
    return host_buffer_reserve(received->queue, &received->host, bytes);
}

void received_begin(struct received *received, const struct model_shape *shape,
                    struct model_decoder *decoder, int64_t replies)
{
    struct queue *q = received->queue;
    struct attention_received *call = &received->call;
    if (!received->on) return;
    received->replies = replies;
    call->history_of_row = model_decoder_history_of_row(decoder);
    call->key_begin = model_decoder_key_begin(decoder);
    call->key_end = model_decoder_key_end(decoder);
    call->reply = model_decoder_slot_of_row(decoder);
    call->ends = model_shape_ends(shape, call->end);
    call->ended = received->ended.data;
    call->sum = received->sums.data;
    q->op->zero(q, call->ended, (size_t)replies * sizeof *call->ended);
    q->op->zero(q, call->sum, (size_t)(replies * call->stride) * sizeof *call->sum);
}

void received_step(struct received *received, const float *capture, int64_t stride, float weight,
                   const int32_t *token, int64_t rows)
{
    struct attention_received *call = &received->call;
    if (!received->on) return;
    call->capture = capture;
    call->capture_stride = stride;
    call->weight = weight;
    call->token = token;
    call->rows = rows;
    received->queue->op->attention_received(received->queue, call);
}

void received_cut(const struct received *received, int64_t reply)
{
    struct queue *q = received->queue;
    if (received->on) q->op->advance(q, received->call.ended + reply, 1, 1, 1);
}

void received_read(struct received *received)
{
    const size_t bytes = (size_t)(received->replies * received->call.stride) * sizeof(float);
    if (received->on)
        received->queue->op->download(received->queue, received->host.data, received->sums.data,
                                      bytes);
}

void received_reply(const struct received *received, int64_t r, int64_t tokens, struct reply *reply)
{
    const float *from = received->host.data;
    if (!received->on) return;
    reply->received = memory_allocate((size_t)tokens * sizeof *reply->received + 4);
    memcpy(reply->received, from + r * received->call.stride,
           (size_t)tokens * sizeof *reply->received);
}
