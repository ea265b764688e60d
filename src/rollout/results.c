/* Results of tokens, on the device and on the host; see results.h. */
#include "src/rollout/results.h"

#include <string.h>

void results_create(struct results *results, struct queue *queue,
                    const struct statistic_table *table)
{
    *results = (struct results){.queue = queue, .table = table, .device = {.kind = MEMORY_CAPTURE}};
}

void results_destroy(struct results *results)
{
    if (!results->queue) return;
    buffer_release(results->queue, &results->device);
    host_buffer_release(results->queue, &results->host);
}

/* The block's arrays, one behind the other: tokens, log-probabilities, the softmax's entropies and
 * certainties, then the statistics. */
enum { TOKEN_ARRAY, LOGP_ARRAY, TOKEN_ENTROPY_ARRAY, SELF_CERTAINTY_ARRAY, STATISTIC_ARRAYS };

static int64_t width_of(const struct results *results, int array,
                        const struct statistic_sizes *sizes)
{
    return array < STATISTIC_ARRAYS
               ? 1
               : statistic_width(&results->table->rows[array - STATISTIC_ARRAYS], sizes);
}

/* Bytes in front of an array; of the one behind the last: of them all. */
static size_t offset_of(const struct results *results, int array, int64_t entries,
                        const struct statistic_sizes *sizes)
{
    size_t bytes = 0;
    for (int i = 0; i < array; i++)
        bytes += ((size_t)(entries * width_of(results, i, sizes)) * 4 + 63) / 64 * 64;
    return bytes;
}

static int arrays_of(const struct results *results)
{
    return STATISTIC_ARRAYS + results->table->count;
}

status results_reserve(struct results *results, int64_t entries,
                       const struct statistic_sizes *sizes)
{
    const size_t bytes = offset_of(results, arrays_of(results), entries, sizes);
    TRY(buffer_reserve(results->queue, &results->device, bytes));
    return host_buffer_reserve(results->queue, &results->host, bytes);
}

status results_begin(struct results *results, int64_t entries, const struct statistic_sizes *sizes,
                     bool certain)
{
    TRY(results_reserve(results, entries, sizes));
    results->entries = entries;
    results->sizes = *sizes;
    results->certain = certain;
    void *array[STATISTIC_ARRAYS + STATISTICS_MAX];
    for (int i = 0; i < arrays_of(results); i++)
        array[i] = (char *)results->device.data + offset_of(results, i, entries, sizes);
    results->token = array[TOKEN_ARRAY];
    results->logp = array[LOGP_ARRAY];
    results->token_entropy = array[TOKEN_ENTROPY_ARRAY];
    results->self_certainty = array[SELF_CERTAINTY_ARRAY];
    memcpy(results->statistic, array + STATISTIC_ARRAYS,
           (size_t)results->table->count * sizeof *array);
    results->queue->op->zero(results->queue, results->device.data,
                             offset_of(results, arrays_of(results), entries, sizes));
    return NULL;
}

float *results_self_certainty(const struct results *results)
{
    return results->certain ? results->self_certainty : NULL;
}

void results_heads(const struct results *results, struct head_statistics *heads)
{
    for (int i = 0; i < results->table->count; i++) {
        const struct statistic *row = &results->table->rows[i];
        if (row->of_heads)
            memcpy((char *)heads + row->output, &results->statistic[i], sizeof(void *));
    }
}

void results_compute(const struct results *results, const struct attention_summary *rows)
{
    struct queue *q = results->queue;
    struct attention_summary summary = *rows;
    summary.turns = results->sizes.turns;
    summary.top = STATISTICS_TOP;
    for (int i = 0; i < results->table->count; i++) {
        const struct statistic *row = &results->table->rows[i];
        /* The outputs are pointers of several types and one size. */
        if (!row->compute && !row->of_heads)
            memcpy((char *)&summary + row->output, &results->statistic[i], sizeof(void *));
    }
    q->op->attention_summary(q, &summary);
    for (int i = 0; i < results->table->count; i++) {
        const struct statistic *row = &results->table->rows[i];
        if (row->compute) row->compute(q, &summary, &results->sizes, results->statistic[i]);
    }
}

status results_read(struct results *results)
{
    struct queue *q = results->queue;
    q->op->download(q, results->host.data, results->device.data,
                    offset_of(results, arrays_of(results), results->entries, &results->sizes));
    return q->op->synchronize(q);
}

static const char *host_of(const struct results *results, int array)
{
    return (const char *)results->host.data +
           offset_of(results, array, results->entries, &results->sizes);
}

const int32_t *results_tokens(const struct results *results)
{
    return (const int32_t *)(const void *)host_of(results, TOKEN_ARRAY);
}

/* [count, width] of the reply from wider rows. */
static void rows_copy(void *to, int64_t width, const char *from, int64_t from_width, int64_t count)
{
    for (int64_t t = 0; t < count; t++)
        memcpy((char *)to + t * width * 4, from + t * from_width * 4, (size_t)width * 4);
}

/* [width] of the reply: means over its tokens. */
static void rows_mean(float *to, int64_t width, const char *from, int64_t from_width, int64_t count)
{
    const float *values = (const float *)(const void *)from;
    enum { together = 64 }; /* columns, which lie side by side in a token's row */
    for (int64_t first = 0; first < width; first += together) {
        const int64_t columns = width - first < together ? width - first : together;
        double sum[together] = {0};
        for (int64_t t = 0; t < count; t++)
            for (int64_t i = 0; i < columns; i++)
                sum[i] += (double)values[t * from_width + first + i];
        for (int64_t i = 0; i < columns; i++)
            to[first + i] = count ? (float)(sum[i] / (double)count) : 0;
    }
}

/* What is stored of a statistic of the reply's tokens. */
static void statistic_copy(const struct statistic *row, void *to, int64_t width, const char *from,
                           int64_t from_width, int64_t count)
{
    if (row->reduction == MEAN_OVER_TOKENS)
        rows_mean(to, width, from, from_width, count);
    else
        rows_copy(to, width, from, from_width,
                  row->reduction == ONCE_A_REPLY && count > 0 ? 1 : count);
}

void results_reply(const struct results *results, int64_t first, int64_t count, int64_t turns,
                   struct reply *reply)
{
    struct statistic_sizes sizes = results->sizes;
    sizes.turns = turns;
    reply_allocate(reply, results->table, &sizes, results->certain, count);
    void *const tokens[STATISTIC_ARRAYS] = {reply->tokens, reply->logp, reply->token_entropy,
                                            reply->self_certainty};
    for (int i = 0; i < arrays_of(results); i++) {
        const int64_t from_width = width_of(results, i, &results->sizes);
        const int64_t width = width_of(results, i, &sizes);
        const char *from = host_of(results, i) + first * from_width * 4;
        if (i < STATISTIC_ARRAYS && !tokens[i]) continue;
        if (i < STATISTIC_ARRAYS)
            rows_copy(tokens[i], width, from, from_width, count);
        else
            statistic_copy(&results->table->rows[i - STATISTIC_ARRAYS],
                           reply->statistics.array[i - STATISTIC_ARRAYS], width, from, from_width,
                           count);
    }
}
