/* From labelled replies to a ridge's rows; see problem.h. */
#include "src/fit/problem.h"

#include "src/base/memory.h"
#include "src/base/philox.h"
#include "src/fit/within.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void fit_replies_create(struct fit_replies *replies, const struct fit_layout *layout, int64_t count,
                        int64_t history_count)
{
    const size_t n = (size_t)count, width = (size_t)fit_layout_width(layout);
    *replies =
        (struct fit_replies){.layout = *layout, .count = count, .history_count = history_count};
    replies->dense = memory_allocate(n * width * sizeof *replies->dense);
    replies->words = memory_allocate(n * sizeof *replies->words);
    replies->length = memory_allocate(n * sizeof *replies->length);
    replies->first = memory_allocate((size_t)(history_count + 1) * sizeof *replies->first);
    replies->dialogue = memory_allocate((size_t)history_count * sizeof *replies->dialogue);
}

void fit_replies_free(struct fit_replies *replies)
{
    for (int64_t i = 0; replies->words && i < replies->count; i++)
        word_bag_free(&replies->words[i]);
    free(replies->dense);
    free(replies->words);
    free(replies->length);
    free(replies->first);
    free(replies->dialogue);
    *replies = (struct fit_replies){0};
}

/* Fisher and Yates's shuffle of a history's values; label counts shuffles. */
static void shuffle(double *values, int64_t count, int64_t seed, int64_t history, int label)
{
    const uint32_t key[2] = {(uint32_t)seed, RANDOM_FIT};
    for (int64_t i = count - 1; i > 0; i--) {
        const uint32_t counter[4] = {(uint32_t)history, (uint32_t)label, (uint32_t)i, 0};
        uint32_t random[4];
        philox4x32(counter, key, random);
        const int64_t j = (int64_t)((uint64_t)random[0] * (uint64_t)(i + 1) >> 32);
        const double value = values[i];
        values[i] = values[j];
        values[j] = value;
    }
}

/* The histories that can teach, their bases and labels. */
static void labels_make(struct fit_problem *problem, const double *target, int64_t seed)
{
    const struct fit_replies *replies = problem->replies;
    for (int64_t h = 0; h < replies->history_count; h++) {
        const int64_t first = replies->first[h], n = replies->first[h + 1] - first;
        if (!within_differ(target + first, n)) continue;
        double *basis = memory_allocate((size_t)(n * n) * sizeof *basis);
        int64_t columns;
        within_basis(replies->length + first, n, true, basis, &columns);
        double *rank = memory_allocate((size_t)(n + columns) * sizeof *rank);
        within_ranks(target + first, n, rank);
        within_project(basis, n, columns, rank, rank + n);
        if (within_vanishes(rank + n, columns)) {
            free(rank);
            free(basis);
            continue;
        }
        const int64_t u = problem->used++, row = problem->rows;
        problem->history[u] = h;
        problem->basis[u] = basis;
        problem->rows = row + columns;
        problem->first[u + 1] = problem->rows;
        for (int label = 0; label < FIT_LABELS; label++) {
            if (label) shuffle(rank, n, seed, h, label);
            within_project(basis, n, columns, rank, rank + n);
            for (int64_t c = 0; c < columns; c++)
                problem->label[(row + c) * FIT_LABELS + label] = rank[n + c];
        }
        free(rank);
    }
}

static void dense_make(struct fit_problem *problem)
{
    const struct fit_replies *replies = problem->replies;
    const int64_t width = fit_layout_width(&replies->layout), rows = problem->rows;
    problem->dense = memory_allocate((size_t)(rows * width) * sizeof *problem->dense);
    problem->deviation = memory_allocate((size_t)width * sizeof *problem->deviation);
    double *greatest = memory_allocate((size_t)width * sizeof *greatest);
    for (int64_t u = 0; u < problem->used; u++) {
        const int64_t h = problem->history[u], n = replies->first[h + 1] - replies->first[h];
        const int64_t columns = problem->first[u + 1] - problem->first[u];
        for (int64_t c = 0; c < columns; c++) {
            double *row = problem->dense + (problem->first[u] + c) * width;
            for (int64_t i = 0; i < n; i++) {
                const double part = problem->basis[u][i * n + c];
                const double *values = replies->dense + (replies->first[h] + i) * width;
                for (int64_t w = 0; w < width; w++) row[w] += part * values[w];
            }
            for (int64_t w = 0; w < width; w++) problem->deviation[w] += row[w] * row[w];
        }
        for (int64_t i = 0; i < n; i++)
            for (int64_t w = 0; w < width; w++)
                greatest[w] =
                    fmax(greatest[w], fabs(replies->dense[(replies->first[h] + i) * width + w]));
    }
    for (int64_t w = 0; w < width; w++) {
        const double deviation = sqrt(problem->deviation[w] / (double)(rows ? rows : 1));
        /* What is left of a column that is constant within histories is rounding. */
        problem->deviation[w] = deviation > 1e-9 * greatest[w] ? deviation : 0;
    }
    for (int64_t r = 0; r < rows; r++)
        for (int64_t w = 0; w < width; w++) {
            double *value = &problem->dense[r * width + w];
            *value = problem->deviation[w] > 0 ? *value / problem->deviation[w] : 0;
        }
    free(greatest);
}

/* The replies that hold each bucket: owners [.. first[bucket], first[bucket + 1]). */
static int64_t *owners_of(const struct fit_problem *problem, int64_t **owners)
{
    const struct fit_replies *replies = problem->replies;
    int64_t *first = memory_allocate((WORD_BUCKETS + 2) * sizeof *first);
    for (int64_t i = 0; i < replies->count; i++)
        for (int64_t w = 0; w < replies->words[i].count; w++)
            first[replies->words[i].bucket[w] + 2]++;
    for (int64_t b = 2; b < WORD_BUCKETS + 2; b++) first[b] += first[b - 1];
    *owners = memory_allocate((size_t)(first[WORD_BUCKETS + 1] + 1) * sizeof **owners);
    for (int64_t i = 0; i < replies->count; i++)
        for (int64_t w = 0; w < replies->words[i].count; w++)
            (*owners)[first[replies->words[i].bucket[w] + 1]++] = i;
    return first;
}

/* Products of bags are counts: exact in any order. */
static void words_make(struct fit_problem *problem)
{
    const struct fit_replies *replies = problem->replies;
    const int64_t rows = problem->rows;
    problem->words = memory_allocate((size_t)(rows * rows) * sizeof *problem->words);
    int64_t *owners, *first = owners_of(problem, &owners);
    double *shared = memory_allocate((size_t)replies->count * sizeof *shared);
    for (int64_t u = 0; u < problem->used; u++) {
        const int64_t h = problem->history[u], n = replies->first[h + 1] - replies->first[h];
        for (int64_t i = 0; i < n; i++) {
            const struct word_bag *bag = &replies->words[replies->first[h] + i];
            memset(shared, 0, (size_t)replies->count * sizeof *shared);
            for (int64_t w = 0; w < bag->count; w++)
                for (int64_t o = first[bag->bucket[w]]; o < first[bag->bucket[w] + 1]; o++)
                    shared[owners[o]] += 1;
            for (int64_t v = 0; v <= u; v++) {
                const int64_t g = problem->history[v],
                              m = replies->first[g + 1] - replies->first[g];
                for (int64_t d = problem->first[v]; d < problem->first[v + 1]; d++) {
                    double sum = 0;
                    for (int64_t j = 0; j < m; j++)
                        sum += problem->basis[v][j * m + d - problem->first[v]] *
                               shared[replies->first[g] + j];
                    for (int64_t c = problem->first[u]; c < problem->first[u + 1]; c++)
                        if (d <= c)
                            problem->words[c * rows + d] +=
                                problem->basis[u][i * n + c - problem->first[u]] * sum;
                }
            }
        }
    }
    free(shared);
    free(owners);
    free(first);
}

static void scales_make(struct fit_problem *problem)
{
    const int64_t width = fit_layout_width(&problem->replies->layout), rows = problem->rows;
    for (int set = 0; set < FIT_SETS; set++) {
        int64_t begin, end;
        double trace = 0, greatest = 0;
        fit_layout_columns(&problem->replies->layout, set, &begin, &end);
        for (int64_t r = 0; r < rows; r++) {
            if (set == FIT_WORDS) trace += problem->words[r * rows + r];
            for (int64_t w = begin; w < end; w++)
                trace += problem->dense[r * width + w] * problem->dense[r * width + w];
        }
        if (set == FIT_WORDS)
            for (int64_t i = 0; i < problem->replies->count; i++)
                greatest = fmax(greatest, (double)problem->replies->words[i].count);
        /* Words that all replies of a history share leave rounding. */
        problem->scale[set] = trace > 1e-12 * greatest * (double)rows ? (double)rows / trace : 0;
    }
}

void fit_problem_create(const struct fit_replies *replies, const double *target, int64_t seed,
                        struct fit_problem *problem)
{
    const size_t histories = (size_t)replies->history_count;
    *problem = (struct fit_problem){.replies = replies};
    problem->history = memory_allocate(histories * sizeof *problem->history);
    problem->first = memory_allocate((histories + 1) * sizeof *problem->first);
    problem->basis = memory_allocate(histories * sizeof *problem->basis);
    problem->label = memory_allocate((size_t)replies->count * FIT_LABELS * sizeof *problem->label);
    labels_make(problem, target, seed);
    dense_make(problem);
    words_make(problem);
    scales_make(problem);
}

void fit_problem_free(struct fit_problem *problem)
{
    for (int64_t u = 0; u < problem->used; u++) free(problem->basis[u]);
    free(problem->history);
    free(problem->first);
    free(problem->basis);
    free(problem->label);
    free(problem->deviation);
    free(problem->dense);
    free(problem->words);
    *problem = (struct fit_problem){0};
}

void fit_problem_kernel(const struct fit_problem *problem, unsigned sets, double *kernel)
{
    const int64_t width = fit_layout_width(&problem->replies->layout), rows = problem->rows;
    const double parts = (double)__builtin_popcount(sets);
    memset(kernel, 0, (size_t)(rows * rows) * sizeof *kernel);
    if (sets >> FIT_WORDS & 1)
        for (int64_t i = 0; i < rows * rows; i++)
            kernel[i] = problem->words[i] * problem->scale[FIT_WORDS] / parts;
    for (int set = 0; set < FIT_WORDS; set++) {
        int64_t begin, end;
        fit_layout_columns(&problem->replies->layout, set, &begin, &end);
        if (sets >> set & 1 && end > begin)
            dense_gram_add(kernel, rows, problem->dense + begin, width, end - begin,
                           problem->scale[set] / parts);
    }
}
