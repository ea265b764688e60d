/* See bert_score.h.  In float64, in the order of tokens. */
#include "src/evaluate/bert_score.h"

#include "src/base/memory.h"

#include <math.h>
#include <stdlib.h>

enum { LANES = 4 }; /* sums side by side, so that a product does not wait for the one before */

static double dot(const double *a, const double *b, int64_t width)
{
    double sum[LANES] = {0};
    int64_t i = 0;
    for (; i + LANES <= width; i += LANES)
        for (int k = 0; k < LANES; k++) sum[k] += a[i + k] * b[i + k];
    for (; i < width; i++) sum[0] += a[i] * b[i];
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

/* Rows of length 1, [count, width]; a row without length stays as it is. */
static double *rows_normed(const struct token_states *text, int64_t width)
{
    double *rows = memory_allocate((size_t)(text->count * width) * sizeof *rows);
    for (int64_t t = 0; t < text->count; t++) {
        double *row = rows + t * width;
        for (int64_t i = 0; i < width; i++) row[i] = (double)text->rows[t * width + i];
        const double length = sqrt(dot(row, row, width));
        for (int64_t i = 0; length > 0 && i < width; i++) row[i] /= length;
    }
    return rows;
}

static double weight_of(const struct token_states *text)
{
    double sum = 0;
    for (int64_t t = 0; t < text->count; t++) sum += text->weights[t];
    return sum;
}

static double mean_of(const struct token_states *text, const double *best, double weight)
{
    double sum = 0;
    for (int64_t t = 0; t < text->count; t++) sum += best[t] * (text->weights[t] / weight);
    return sum;
}

struct bert_score bert_score_of(const struct token_states *reply,
                                const struct token_states *reference, int64_t width)
{
    const double own = weight_of(reply), other = weight_of(reference);
    struct bert_score score = {0, 0, 0};
    if (!(own > 0) || !(other > 0)) return score;
    double *a = rows_normed(reply, width), *b = rows_normed(reference, width);
    double *best = memory_allocate((size_t)(reply->count + reference->count) * sizeof *best);
    double *best_other = best + reply->count;
    for (int64_t i = 0; i < reply->count + reference->count; i++) best[i] = -INFINITY;
    for (int64_t i = 0; i < reply->count; i++)
        for (int64_t j = 0; j < reference->count; j++) {
            const double cosine = dot(a + i * width, b + j * width, width);
            if (cosine > best[i]) best[i] = cosine;
            if (cosine > best_other[j]) best_other[j] = cosine;
        }
    score.precision = mean_of(reply, best, own);
    score.recall = mean_of(reference, best_other, other);
    const double sum = score.precision + score.recall;
    if (sum != 0) score.f1 = 2 * score.precision * score.recall / sum;
    free(best);
    free(a);
    free(b);
    return score;
}

void token_states_mean(const struct token_states *text, int64_t width, double *mean)
{
    const double weight = weight_of(text);
    for (int64_t i = 0; i < width; i++) mean[i] = 0;
    for (int64_t t = 0; weight > 0 && t < text->count; t++)
        for (int64_t i = 0; i < width; i++)
            mean[i] += (double)text->rows[t * width + i] * (text->weights[t] / weight);
}

double vectors_cosine(const double *a, const double *b, int64_t width)
{
    const double lengths = sqrt(dot(a, a, width)) * sqrt(dot(b, b, width));
    return lengths > 0 ? dot(a, b, width) / lengths : 0;
}
