/* Results of tokens, on the device and on the host; see results.h. */
#include "src/rollout/results.h"

#include <string.h>

void results_create(struct results *results, struct queue *queue)
{
    *results = (struct results){.queue = queue, .device = {.kind = MEMORY_CAPTURE}};
}

void results_destroy(struct results *results)
{
    if (!results->queue) return;
    buffer_release(results->queue, &results->device);
    host_buffer_release(results->queue, &results->host);
}

static int64_t width_of(int result, int64_t turns)
{
    return result == RESULT_TURN_MASS                                     ? turns
           : result == RESULT_TOP_POSITION || result == RESULT_TOP_WEIGHT ? SUMMARY_TOP
                                                                          : 1;
}

/* Bytes in front of a result's array; of RESULTS: of them all. */
static size_t offset_of(int result, int64_t entries, int64_t turns)
{
    size_t bytes = 0;
    for (int i = 0; i < result; i++)
        bytes += ((size_t)(entries * width_of(i, turns)) * 4 + 63) / 64 * 64;
    return bytes;
}

status results_reserve(struct results *results, int64_t entries, int64_t turns)
{
    const size_t bytes = offset_of(RESULTS, entries, turns);
    TRY(buffer_reserve(results->queue, &results->device, bytes));
    return host_buffer_reserve(results->queue, &results->host, bytes);
}

status results_begin(struct results *results, int64_t entries, int64_t turns)
{
    TRY(results_reserve(results, entries, turns));
    results->entries = entries;
    results->turns = turns;
    for (int i = 0; i < RESULTS; i++)
        results->of[i] = (char *)results->device.data + offset_of(i, entries, turns);
    results->queue->op->zero(results->queue, results->device.data,
                             offset_of(RESULTS, entries, turns));
    return NULL;
}

status results_read(struct results *results)
{
    struct queue *q = results->queue;
    q->op->download(q, results->host.data, results->device.data,
                    offset_of(RESULTS, results->entries, results->turns));
    return q->op->synchronize(q);
}

static const char *host_of(const struct results *results, int result)
{
    return (const char *)results->host.data + offset_of(result, results->entries, results->turns);
}

const int32_t *results_tokens(const struct results *results)
{
    return (const int32_t *)host_of(results, RESULT_TOKEN);
}

void results_reply(const struct results *results, int64_t first, int64_t count, int64_t turns,
                   struct reply *reply)
{
    reply_allocate(reply, count, turns, SUMMARY_TOP);
    void *to[RESULTS] = {[RESULT_TOKEN] = reply->tokens,
                         [RESULT_LOGP] = reply->logp,
                         [RESULT_TOKEN_ENTROPY] = reply->token_entropy,
                         [RESULT_ENTROPY] = reply->entropy,
                         [RESULT_FLOORED] = reply->entropy_floored,
                         [RESULT_MASS] = reply->salient_mass,
                         [RESULT_SPECIAL] = reply->special_mass,
                         [RESULT_TURN_MASS] = reply->turn_mass,
                         [RESULT_TOP_POSITION] = reply->top_position,
                         [RESULT_TOP_WEIGHT] = reply->top_weight};
    for (int i = 0; i < RESULTS; i++) {
        const int64_t width = width_of(i, results->turns), own = width_of(i, turns);
        const char *from = host_of(results, i) + first * width * 4;
        for (int64_t t = 0; t < count; t++)
            memcpy((char *)to[i] + t * own * 4, from + t * width * 4, (size_t)own * 4);
    }
}
