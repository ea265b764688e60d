/* Statistics of every head's row of attention (struct head_statistics), from sums of the loop that
 * makes the row's weights.  A row's numbers depend on its scores and its history's masks alone. */
#include "kernels/cpu/attention.h"

#include <math.h>
#include <omp.h>
#include <string.h>

/* Of a row p = x / sum over V: log sum - (sum of x log x) / sum, over log|V|. */
static float relative_entropy(double sum, double logs, double uniform)
{
    if (uniform <= 0.0) return 0.0f;
    return sum > 0.0 ? (float)((log(sum) - logs / sum) / uniform) : 1.0f;
}

/* The sum of weights over a list of keys, ascending. */
static float copied(const float *weights, const int32_t *keys, int64_t count)
{
    double sum = 0.0;
    for (int64_t i = 0; i < count; i++) sum += (double)weights[keys[i]];
    return (float)sum;
}

/* Tokens of V, among the first `keys`, that equal `token`; list [keys]. */
static int64_t equals_find(const struct head_statistics *s, int64_t begin, int64_t keys,
                           int32_t token, int32_t *list)
{
    int64_t count = 0;
    for (int64_t j = 0; j < keys; j++)
        if (s->token[begin + j] == token && s->visible[begin + j] > 0.0f)
            list[count++] = (int32_t)j;
    return count;
}

/* The row outlives the call: in the sum of its reply's rows, and until its token is sampled.  Where
 * that is known already, what would be asked of the kept row is answered now. */
static void row_keep(const struct row_functions *rows, const struct head_statistics *s, int64_t row,
                     int64_t column, const float *weights, int64_t begin, int64_t keys)
{
    const int64_t reply = s->reply[row];
    if (!s->ended || !s->ended[reply])
        rows->sum_rows(s->rows + (reply * s->width + column) * s->stride, weights, 0, 1, keys,
                       true);
    if (!s->next) {
        memcpy(s->kept + (row * s->width + column) * s->stride, weights,
               (size_t)keys * sizeof *weights);
        return;
    }
    double sum = 0.0;
    for (int64_t j = 0; j < keys; j++)
        if (s->token[begin + j] == s->next[row] && s->visible[begin + j] > 0.0f)
            sum += (double)weights[j];
    s->copy[token_entry(&s->at, s->step, row) * s->width + column] = (float)sum;
}

float head_weights(const struct row_functions *rows, const struct chunk *c, int64_t item,
                   float *scores, const float *bias)
{
    const struct attention *a = c->a;
    const struct head_statistics *s = a->statistics;
    const int64_t i = item / c->each, row = c->begin + i, seen = c->visible[i];
    const int64_t column = s->layer * a->heads + c->head + item % c->each;
    const int32_t history = s->history_of_row[row], begin = s->key_begin[history];
    const int64_t tokens = s->key_end[history] - begin;
    struct weights_read read = {.keys = tokens < seen ? tokens : seen,
                                .visible = s->visible + begin,
                                .sink = s->sink + begin};
    const float sum =
        rows->attention_weights_read(scores, a->scale, bias, seen, row_padded(c->keys), &read);
    const int64_t at = token_entry(&s->at, s->step, row) * s->width + column;
    const double on = (double)read.seen, both = on + (double)read.reply;
    s->entropy[at] = relative_entropy(on, (double)read.weighted, (double)s->uniform[history]);
    if (s->lookback) s->lookback[at] = both > 0.0 ? (float)(on / both) : 0.0f;
    s->sinks[at] = (float)((double)read.sunk / read.total);
    s->peak[at] = (float)((double)read.peak / read.total);
    row_keep(rows, s, row, column, scores, begin, read.keys);
    return sum;
}

static bool is_end(const struct head_statistics *s, int32_t token)
{
    for (int64_t i = 0; i < s->ends; i++)
        if (s->end[i] == token) return true;
    return false;
}

void cpu_head_statistics_sampled(struct queue *q, const struct head_statistics *s, int64_t rows)
{
#pragma omp parallel num_threads(q->threads)
    {
        int32_t *list =
            cpu_scratch(q, omp_get_thread_num(), (size_t)(s->stride + 1) * sizeof *list);
#pragma omp for schedule(static)
        for (int64_t row = 0; row < rows; row++) {
            const int32_t history = s->history_of_row[row], begin = s->key_begin[history];
            const int64_t entry = token_entry(&s->at, s->step, row);
            if (!list) continue;
            const int64_t count =
                equals_find(s, begin, s->key_end[history] - begin, s->next[row], list);
            for (int64_t column = 0; column < s->width; column++)
                s->copy[entry * s->width + column] =
                    copied(s->kept + (row * s->width + column) * s->stride, list, count);
            if (is_end(s, s->next[row])) s->ended[s->reply[row]] = 1;
        }
    }
}

void cpu_head_row_entropy(struct queue *q, const struct head_statistics *s, const int32_t *history,
                          const int32_t *first, int64_t replies)
{
    const struct row_functions *rows = rows_of(q);
#pragma omp parallel for num_threads(q->threads) schedule(static)
    for (int64_t i = 0; i < replies * s->width; i++) {
        const int64_t reply = i / s->width, begin = s->key_begin[history[reply]];
        const int64_t entry = first ? first[reply] : reply * s->at.stride;
        double sum, logs;
        rows->masked_logs(s->rows + i * s->stride, s->visible + begin,
                          s->key_end[history[reply]] - begin, &sum, &logs);
        s->row_entropy[entry * s->width + i % s->width] =
            relative_entropy(sum, logs, (double)s->uniform[history[reply]]);
    }
}
