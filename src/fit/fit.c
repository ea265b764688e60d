/* Ridge solutions as weights of columns; see fit.h. */
#include "src/fit/fit.h"

#include "src/base/memory.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

void fit_free(struct fit *fit)
{
    free(fit->mean);
    free(fit->deviation);
    free(fit->weight);
    free(fit->bucket);
    free(fit->bucket_weight);
    *fit = (struct fit){0};
}

double fit_score(const struct fit *fit, const double *dense, const struct word_bag *bag,
                 double length)
{
    const int64_t width = fit_layout_width(&fit->layout);
    double sum = -fit->offset - fit->length[0] * length - fit->length[1] * length * length;
    for (int64_t w = 0; w < width; w++)
        if (fit->weight[w] != 0)
            sum += fit->weight[w] * ((dense[w] - fit->mean[w]) / fit->deviation[w]);
    for (int64_t i = 0, b = 0; i < bag->count && b < fit->bucket_count;) {
        if (bag->bucket[i] == fit->bucket[b]) sum += fit->bucket_weight[b];
        if (bag->bucket[i] <= fit->bucket[b])
            i++;
        else
            b++;
    }
    return sum;
}

void ridge_solve(const struct fit_problem *problem, const double *kernel, const int64_t *row,
                 int64_t count, double strength, double *alpha)
{
    double *matrix = memory_allocate((size_t)(count * count) * sizeof *matrix + 8);
    for (int64_t i = 0; i < count; i++) {
        for (int64_t j = 0; j <= i; j++)
            matrix[i * count + j] = kernel[row[i] * problem->rows + row[j]];
        matrix[i * count + i] += strength;
        memcpy(alpha + i * FIT_LABELS, problem->label + row[i] * FIT_LABELS,
               FIT_LABELS * sizeof *alpha);
    }
    /* Products and a positive strength on the diagonal. */
    const bool positive = dense_factor(matrix, count);
    assert(positive);
    (void)positive;
    dense_solve(matrix, count, alpha);
    free(matrix);
}

static void dense_weights(const struct fit_problem *problem, const int64_t *used, int64_t count,
                          const double *alpha, struct fit *fit)
{
    const int64_t width = fit_layout_width(&fit->layout);
    const double parts = (double)__builtin_popcount(fit->sets);
    for (int set = 0; set < FIT_WORDS; set++) {
        if (!(fit->sets >> set & 1)) continue;
        int64_t begin, end, at = 0;
        fit_layout_columns(&fit->layout, set, &begin, &end);
        for (int64_t u = 0; u < count; u++)
            for (int64_t r = problem->first[used[u]]; r < problem->first[used[u] + 1]; r++, at++)
                for (int64_t w = begin; w < end; w++)
                    fit->weight[w] += alpha[at * FIT_LABELS] * problem->dense[r * width + w];
        for (int64_t w = begin; w < end; w++) fit->weight[w] *= problem->scale[set] / parts;
    }
}

static void word_weights(const struct fit_problem *problem, const int64_t *used, int64_t count,
                         const double *alpha, struct fit *fit)
{
    const struct fit_replies *replies = problem->replies;
    double *weight = memory_allocate(WORD_BUCKETS * sizeof *weight);
    const double scale = problem->scale[FIT_WORDS] / (double)__builtin_popcount(fit->sets);
    int64_t at = 0;
    for (int64_t u = 0; u < count; u++) {
        const int64_t h = problem->history[used[u]], n = replies->first[h + 1] - replies->first[h];
        const int64_t columns = problem->first[used[u] + 1] - problem->first[used[u]];
        for (int64_t i = 0; i < n; i++) {
            double part = 0;
            for (int64_t c = 0; c < columns; c++)
                part += problem->basis[used[u]][i * n + c] * alpha[(at + c) * FIT_LABELS];
            const struct word_bag *bag = &replies->words[replies->first[h] + i];
            for (int64_t w = 0; w < bag->count; w++) weight[bag->bucket[w]] += part * scale;
        }
        at += columns;
    }
    for (int64_t b = 0; b < WORD_BUCKETS; b++) fit->bucket_count += weight[b] != 0;
    const size_t buckets = (size_t)fit->bucket_count + 1;
    fit->bucket = memory_allocate(buckets * sizeof *fit->bucket);
    fit->bucket_weight = memory_allocate(buckets * sizeof *fit->bucket_weight);
    fit->bucket_count = 0;
    for (int64_t b = 0; b < WORD_BUCKETS; b++) {
        if (weight[b] == 0) continue;
        fit->bucket[fit->bucket_count] = (int32_t)b;
        fit->bucket_weight[fit->bucket_count++] = weight[b];
    }
    free(weight);
}

static void means_make(const struct fit_problem *problem, const int64_t *used, int64_t count,
                       struct fit *fit)
{
    const struct fit_replies *replies = problem->replies;
    const int64_t width = fit_layout_width(&fit->layout);
    for (int64_t u = 0; u < count; u++) {
        const int64_t h = problem->history[used[u]];
        fit->replies += replies->first[h + 1] - replies->first[h];
        for (int64_t i = replies->first[h]; i < replies->first[h + 1]; i++)
            for (int64_t w = 0; w < width; w++) fit->mean[w] += replies->dense[i * width + w];
    }
    for (int64_t w = 0; w < width; w++) {
        fit->mean[w] /= (double)fit->replies;
        fit->deviation[w] = problem->deviation[w];
    }
}

/* Sums over the fitted replies, of values less their history's mean: of length, its square and the
 * score with each other. */
struct moments {
    double product[3][3], mean_score;
};

static struct moments moments_of(const struct fit_problem *problem, const int64_t *used,
                                 int64_t count, const struct fit *fit)
{
    const struct fit_replies *replies = problem->replies;
    const int64_t width = fit_layout_width(&fit->layout);
    struct moments m = {0};
    for (int64_t u = 0; u < count; u++) {
        const int64_t h = problem->history[used[u]];
        const int64_t first = replies->first[h], n = replies->first[h + 1] - first;
        double(*value)[3] = memory_allocate((size_t)n * sizeof *value), mean[3] = {0};
        for (int64_t i = 0; i < n; i++) {
            const double length = replies->length[first + i];
            value[i][0] = length;
            value[i][1] = length * length;
            value[i][2] = fit_score(fit, replies->dense + (first + i) * width,
                                    &replies->words[first + i], length);
            m.mean_score += value[i][2] / (double)fit->replies;
            for (int k = 0; k < 3; k++) mean[k] += value[i][k] / (double)n;
        }
        for (int64_t i = 0; i < n; i++)
            for (int j = 0; j < 3; j++)
                for (int k = 0; k < 3; k++)
                    m.product[j][k] += (value[i][j] - mean[j]) * (value[i][k] - mean[k]);
        free(value);
    }
    return m;
}

/* The slopes of the score on length and its square, within histories. */
static void slopes(const struct moments *m, double length[2])
{
    const double a = m->product[0][0], b = m->product[0][1], d = m->product[1][1];
    const double x = m->product[0][2], y = m->product[1][2];
    const double determinant = a * d - b * b;
    if (determinant > 1e-9 * a * d) {
        length[0] = (d * x - b * y) / determinant;
        length[1] = (a * y - b * x) / determinant;
    } else if (a > 0)
        length[0] = x / a;
}

bool fit_make(const struct fit_problem *problem, unsigned sets, const int64_t *used, int64_t count,
              const double *alpha, double strength, struct fit *out)
{
    const size_t width = (size_t)fit_layout_width(&problem->replies->layout);
    *out = (struct fit){
        .layout = problem->replies->layout, .sets = sets, .strength = strength, .histories = count};
    out->mean = memory_allocate(width * sizeof *out->mean);
    out->deviation = memory_allocate(width * sizeof *out->deviation);
    out->weight = memory_allocate(width * sizeof *out->weight);
    means_make(problem, used, count, out);
    dense_weights(problem, used, count, alpha, out);
    if (sets >> FIT_WORDS & 1) word_weights(problem, used, count, alpha, out);
    struct moments m = moments_of(problem, used, count, out);
    slopes(&m, out->length);
    m = moments_of(problem, used, count, out);
    const double deviation = sqrt(m.product[2][2] / (double)(out->replies - count));
    if (!(deviation > 0)) return false;
    out->offset = m.mean_score / deviation;
    for (int k = 0; k < 2; k++) out->length[k] /= deviation;
    for (size_t w = 0; w < width; w++) out->weight[w] /= deviation;
    for (int64_t b = 0; b < out->bucket_count; b++) out->bucket_weight[b] /= deviation;
    return true;
}
