/* Folds, strengths, shuffles and learning curves; see validate.h.  Jobs are independent and write
 * their own places, so that threads change nothing. */
#include "src/fit/validate.h"

#include "src/base/memory.h"
#include "src/base/philox.h"
#include "src/fit/within.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const int64_t fit_curve_sizes[FIT_CURVE] = {5, 10, 20, 40};

enum { STRENGTHS = 6, DRAWS = 4, PAIRS = FIT_FOLDS * (FIT_FOLDS - 1) / 2 };
/* A row's product with itself is 1 on average; strongest first, so that ties take the stronger. */
static const double strengths[STRENGTHS] = {1024, 256, 64, 16, 4, 1};

/* A problem with its kernel and folds. */
struct folded {
    const struct fit_problem *problem;
    unsigned sets;
    double *kernel;  /* [rows, rows], all of it */
    int *fold;       /* [used] */
    int *reply_fold; /* [histories] */
    int64_t seed;
};

static status folded_make(const struct fit_problem *problem, unsigned sets, struct folded *f)
{
    const struct fit_replies *replies = problem->replies;
    const int64_t rows = problem->rows;
    f->problem = problem;
    f->sets = sets;
    f->fold = memory_allocate((size_t)(problem->used + 1) * sizeof *f->fold);
    f->reply_fold = memory_allocate((size_t)(replies->history_count + 1) * sizeof *f->reply_fold);
    f->kernel = memory_allocate((size_t)(rows * rows + 1) * sizeof *f->kernel);
    /* Dialogues with a used history take turns; the others stand with the one before. */
    int64_t dialogues = 0, last = -1;
    for (int64_t h = 0, u = 0; h < replies->history_count; h++) {
        const bool used = u < problem->used && problem->history[u] == h;
        if (used && replies->dialogue[h] != last) {
            last = replies->dialogue[h];
            dialogues++;
        }
        f->reply_fold[h] = (int)((dialogues + FIT_FOLDS - 1) % FIT_FOLDS);
        if (used) f->fold[u++] = f->reply_fold[h];
    }
    /* An unused history before the first used one of its dialogue stands with the dialogue. */
    for (int64_t h = replies->history_count - 2; h >= 0; h--)
        if (replies->dialogue[h] == replies->dialogue[h + 1])
            f->reply_fold[h] = f->reply_fold[h + 1];
    if (dialogues < FIT_DIALOGUES_MIN)
        FAIL(STATUS_INPUT,
             "only %lld dialogues have a history whose replies differ in the target; a fit needs "
             "%d: more dialogues, more candidates, or another target",
             (long long)dialogues, FIT_DIALOGUES_MIN);
    fit_problem_kernel(problem, sets, f->kernel);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < i; j++) f->kernel[j * rows + i] = f->kernel[i * rows + j];
    return NULL;
}

static void folded_free(struct folded *f)
{
    free(f->kernel);
    free(f->fold);
    free(f->reply_fold);
}

/* The rows of used histories [count]. */
static int64_t rows_of(const struct fit_problem *problem, const int64_t *used, int64_t count,
                       int64_t *row)
{
    int64_t rows = 0;
    for (int64_t u = 0; u < count; u++)
        for (int64_t r = problem->first[used[u]]; r < problem->first[used[u] + 1]; r++)
            row[rows++] = r;
    return rows;
}

/* What a solution over `row` [count] predicts for the rows of used history u, [rows, FIT_LABELS].
 */
static void predict(const struct folded *f, const int64_t *row, int64_t count, const double *alpha,
                    int64_t u, double *out)
{
    const struct fit_problem *problem = f->problem;
    const int64_t begin = problem->first[u], end = problem->first[u + 1];
    memset(out, 0, (size_t)((end - begin) * FIT_LABELS) * sizeof *out);
    for (int64_t r = begin; r < end; r++)
        for (int64_t k = 0; k < count; k++) {
            const double product = f->kernel[r * problem->rows + row[k]];
            for (int label = 0; label < FIT_LABELS; label++)
                out[(r - begin) * FIT_LABELS + label] += product * alpha[k * FIT_LABELS + label];
        }
}

/* The correlation of prediction `from` with label `to` in a used history; 0 where there is none. */
static double correlation(const struct fit_problem *problem, int64_t u, const double *prediction,
                          int from, int to)
{
    const int64_t begin = problem->first[u], n = problem->first[u + 1] - begin;
    double ab = 0, aa = 0, bb = 0;
    for (int64_t i = 0; i < n; i++) {
        const double a = prediction[i * FIT_LABELS + from];
        const double b = problem->label[(begin + i) * FIT_LABELS + to];
        ab += a * b;
        aa += a * a;
        bb += b * b;
    }
    return aa > 0 && bb > 0 ? ab / sqrt(aa) / sqrt(bb) : 0;
}

/* Trains on used histories `train` and adds to each label's sum its correlations in `test`. */
static void judge(const struct folded *f, const int64_t *train, int64_t train_count,
                  double strength, const int64_t *test, int64_t test_count, const int *fold_of,
                  double sum[FIT_FOLDS][FIT_LABELS])
{
    const struct fit_problem *problem = f->problem;
    const size_t rows = (size_t)problem->rows;
    int64_t *row = memory_allocate((rows + 1) * sizeof *row);
    double *alpha = memory_allocate((rows + 1) * FIT_LABELS * sizeof *alpha);
    double *prediction = memory_allocate((rows + 1) * FIT_LABELS * sizeof *prediction);
    const int64_t count = rows_of(problem, train, train_count, row);
    ridge_solve(problem, f->kernel, row, count, strength, alpha);
    for (int64_t t = 0; t < test_count; t++) {
        predict(f, row, count, alpha, test[t], prediction);
        for (int label = 0; label < FIT_LABELS; label++)
            sum[fold_of[test[t]]][label] += correlation(problem, test[t], prediction, label, label);
    }
    free(row);
    free(alpha);
    free(prediction);
}

/* Used histories whose fold is neither a nor b; the others in `rest`. */
static int64_t split(const struct folded *f, int a, int b, int64_t *train, int64_t *rest)
{
    int64_t kept = 0, left = 0;
    for (int64_t u = 0; u < f->problem->used; u++)
        if (f->fold[u] != a && f->fold[u] != b)
            train[kept++] = u;
        else
            rest[left++] = u;
    return kept;
}

/* chosen [FIT_FOLDS][FIT_LABELS]: the strength for the fit without a fold.  The fit without folds a
 * and b is judged on b for a's sake and on a for b's. */
static void strengths_choose(const struct folded *f, int threads, int chosen[FIT_FOLDS][FIT_LABELS])
{
    double(*sum)[STRENGTHS][FIT_FOLDS][FIT_LABELS] = memory_allocate(PAIRS * sizeof *sum);
    int first[PAIRS], second[PAIRS], pairs = 0;
    for (int a = 0; a < FIT_FOLDS; a++)
        for (int b = a + 1; b < FIT_FOLDS; b++) {
            first[pairs] = a;
            second[pairs++] = b;
        }
#pragma omp parallel for num_threads(threads) schedule(dynamic)
    for (int job = 0; job < PAIRS * STRENGTHS; job++) {
        const int pair = job / STRENGTHS, s = job % STRENGTHS;
        const int64_t used = f->problem->used;
        int64_t *train = memory_allocate((size_t)(2 * used) * sizeof *train);
        const int64_t count = split(f, first[pair], second[pair], train, train + used);
        judge(f, train, count, strengths[s], train + used, used - count, f->fold, sum[pair][s]);
        free(train);
    }
    for (int a = 0; a < FIT_FOLDS; a++)
        for (int label = 0; label < FIT_LABELS; label++) {
            double best = -INFINITY;
            for (int s = 0; s < STRENGTHS; s++) {
                double total = 0;
                for (int p = 0; p < PAIRS; p++) {
                    if (first[p] == a) total += sum[p][s][second[p]][label];
                    if (second[p] == a) total += sum[p][s][first[p]][label];
                }
                if (total > best) {
                    best = total;
                    chosen[a][label] = s;
                }
            }
        }
    free(sum);
}

/* The out-of-fold scores of a fold's replies. */
static void fold_score(const struct folded *f, int fold, const struct fit *fit, double *score)
{
    const struct fit_replies *replies = f->problem->replies;
    const int64_t width = fit_layout_width(&replies->layout);
    for (int64_t h = 0; h < replies->history_count; h++) {
        if (f->reply_fold[h] != fold) continue;
        for (int64_t i = replies->first[h]; i < replies->first[h + 1]; i++)
            score[i] =
                fit_score(fit, replies->dense + i * width, &replies->words[i], replies->length[i]);
    }
}

static void outer_folds(const struct folded *f, int threads, int chosen[FIT_FOLDS][FIT_LABELS],
                        struct fit_validation *out)
{
    const struct fit_problem *problem = f->problem;
    const int64_t used = problem->used;
    double *null = memory_allocate((size_t)(used * FIT_LABELS) * sizeof *null);
#pragma omp parallel for num_threads(threads) schedule(dynamic)
    for (int job = 0; job < FIT_FOLDS * STRENGTHS; job++) {
        const int fold = job / STRENGTHS, s = job % STRENGTHS;
        bool wanted = false;
        for (int label = 0; label < FIT_LABELS; label++) wanted |= chosen[fold][label] == s;
        if (!wanted) continue;
        const size_t rows = (size_t)problem->rows;
        int64_t *train = memory_allocate((size_t)(2 * used) * sizeof *train);
        int64_t *row = memory_allocate(rows * sizeof *row);
        double *alpha = memory_allocate(rows * FIT_LABELS * sizeof *alpha);
        double *prediction = memory_allocate(rows * FIT_LABELS * sizeof *prediction);
        const int64_t count = split(f, fold, fold, train, train + used);
        const int64_t trained = rows_of(problem, train, count, row);
        ridge_solve(problem, f->kernel, row, trained, strengths[s], alpha);
        for (int64_t t = 0; t < used - count; t++) {
            const int64_t u = train[used + t];
            predict(f, row, trained, alpha, u, prediction);
            for (int label = 0; label < FIT_LABELS; label++)
                if (chosen[fold][label] == s)
                    null[u * FIT_LABELS + label] = correlation(problem, u, prediction, label, 0);
        }
        if (chosen[fold][0] == s) {
            struct fit fit;
            if (fit_make(problem, f->sets, train, count, alpha, strengths[s], &fit))
                fold_score(f, fold, &fit, out->score);
            fit_free(&fit);
        }
        free(train);
        free(row);
        free(alpha);
        free(prediction);
    }
    for (int64_t u = 0; u < used; u++) {
        out->correlation[u] = null[u * FIT_LABELS];
        for (int label = 1; label < FIT_LABELS; label++)
            out->null[label - 1] += null[u * FIT_LABELS + label] / (double)used;
    }
    free(null);
}

/* Draws `size` of the used histories outside of a fold, in order. */
static void draw(const struct folded *f, int fold, int64_t size, int number, int64_t *drawn)
{
    const int64_t used = f->problem->used;
    const uint32_t key[2] = {(uint32_t)f->seed, RANDOM_FIT};
    int64_t *all = memory_allocate((size_t)(2 * used) * sizeof *all);
    const int64_t count = split(f, fold, fold, all, all + used);
    bool *taken = memory_allocate((size_t)used * sizeof *taken);
    for (int64_t i = 0; i < size; i++) {
        const uint32_t counter[4] = {(uint32_t)i, (uint32_t)number, (uint32_t)fold, (uint32_t)size};
        uint32_t random[4];
        philox4x32(counter, key, random);
        const int64_t j = i + (int64_t)((uint64_t)random[0] * (uint64_t)(count - i) >> 32);
        const int64_t one = all[j];
        all[j] = all[i];
        all[i] = one;
        taken[one] = true;
    }
    for (int64_t u = 0, at = 0; u < used; u++)
        if (taken[u]) drawn[at++] = u;
    free(all);
    free(taken);
}

/* A fit to few labelled histories, its strength from the folds among them. */
static double few_strength(const struct folded *f, const int64_t *drawn, int64_t size)
{
    double total[STRENGTHS] = {0};
    int64_t *part = memory_allocate((size_t)(2 * size) * sizeof *part);
    for (int fold = 0; fold < FIT_FOLDS; fold++) {
        int64_t train = 0, test = 0;
        for (int64_t i = 0; i < size; i++)
            if (f->fold[drawn[i]] == fold)
                part[size + test++] = drawn[i];
            else
                part[train++] = drawn[i];
        if (!train || !test) continue;
        for (int s = 0; s < STRENGTHS; s++) {
            double sum[FIT_FOLDS][FIT_LABELS] = {{0}};
            judge(f, part, train, strengths[s], part + size, test, f->fold, sum);
            total[s] += sum[fold][0];
        }
    }
    free(part);
    int best = 0;
    for (int s = 1; s < STRENGTHS; s++)
        if (total[s] > total[best]) best = s;
    return strengths[best];
}

static void curve_make(const struct folded *f, int threads, struct fit_validation *out)
{
    const struct fit_problem *problem = f->problem;
    const int64_t used = problem->used;
    int64_t outside = used;
    for (int fold = 0; fold < FIT_FOLDS; fold++) {
        int64_t in = 0;
        for (int64_t u = 0; u < used; u++) in += f->fold[u] == fold;
        if (used - in < outside) outside = used - in;
    }
    double *all = memory_allocate((size_t)(FIT_CURVE * DRAWS * used) * sizeof *all);
#pragma omp parallel for num_threads(threads) schedule(dynamic)
    for (int job = 0; job < FIT_CURVE * DRAWS * FIT_FOLDS; job++) {
        const int fold = job % FIT_FOLDS, number = job / FIT_FOLDS % DRAWS;
        const int point = job / FIT_FOLDS / DRAWS;
        const int64_t size = fit_curve_sizes[point];
        if (size > outside) continue;
        int64_t *drawn = memory_allocate((size_t)size * sizeof *drawn);
        draw(f, fold, size, number, drawn);
        const double strength = few_strength(f, drawn, size);
        const size_t rows = (size_t)problem->rows;
        int64_t *row = memory_allocate(rows * sizeof *row);
        double *alpha = memory_allocate(rows * FIT_LABELS * sizeof *alpha);
        double *prediction = memory_allocate(rows * FIT_LABELS * sizeof *prediction);
        const int64_t count = rows_of(problem, drawn, size, row);
        ridge_solve(problem, f->kernel, row, count, strength, alpha);
        for (int64_t u = 0; u < used; u++) {
            if (f->fold[u] != fold) continue;
            predict(f, row, count, alpha, u, prediction);
            all[(point * DRAWS + number) * used + u] = correlation(problem, u, prediction, 0, 0);
        }
        free(drawn);
        free(row);
        free(alpha);
        free(prediction);
    }
    for (int point = 0; point < FIT_CURVE; point++) {
        if (fit_curve_sizes[point] > outside) continue;
        out->curve[point] = memory_allocate((size_t)used * sizeof *out->curve[point]);
        for (int64_t u = 0; u < used; u++)
            for (int number = 0; number < DRAWS; number++)
                out->curve[point][u] += all[(point * DRAWS + number) * used + u] / DRAWS;
    }
    free(all);
}

static int strength_middle(int chosen[FIT_FOLDS][FIT_LABELS])
{
    for (int s = 0;; s++) {
        int weaker_or_equal = 0;
        for (int fold = 0; fold < FIT_FOLDS; fold++) weaker_or_equal += chosen[fold][0] <= s;
        if (2 * weaker_or_equal > FIT_FOLDS) return s;
    }
}

status fit_validate(const struct fit_problem *problem, unsigned sets, int64_t seed, int threads,
                    struct fit_validation *out)
{
    int chosen[FIT_FOLDS][FIT_LABELS];
    struct folded f = {.seed = seed};
    *out = (struct fit_validation){.sets = sets};
    status s = folded_make(problem, sets, &f);
    if (!s) {
        out->correlation = memory_allocate((size_t)problem->used * sizeof *out->correlation);
        out->score = memory_allocate((size_t)problem->replies->count * sizeof *out->score);
        strengths_choose(&f, threads, chosen);
        outer_folds(&f, threads, chosen, out);
        curve_make(&f, threads, out);
        out->strength = strengths[strength_middle(chosen)];
    }
    folded_free(&f);
    return s;
}

void fit_validation_free(struct fit_validation *validation)
{
    free(validation->correlation);
    free(validation->score);
    for (int point = 0; point < FIT_CURVE; point++) free(validation->curve[point]);
    *validation = (struct fit_validation){0};
}

bool fit_final(const struct fit_problem *problem, const struct fit_validation *validation,
               int label, struct fit *out)
{
    struct folded f = {0};
    /* The validation has seen that there are folds. */
    status_free(folded_make(problem, validation->sets, &f));
    const size_t rows = (size_t)problem->rows;
    int64_t *used = memory_allocate((size_t)problem->used * sizeof *used);
    int64_t *row = memory_allocate(rows * sizeof *row);
    double *alpha = memory_allocate(rows * FIT_LABELS * sizeof *alpha);
    for (int64_t u = 0; u < problem->used; u++) used[u] = u;
    const int64_t count = rows_of(problem, used, problem->used, row);
    ridge_solve(problem, f.kernel, row, count, validation->strength, alpha);
    for (int64_t r = 0; r < count; r++) alpha[r * FIT_LABELS] = alpha[r * FIT_LABELS + label];
    const bool made =
        fit_make(problem, validation->sets, used, problem->used, alpha, validation->strength, out);
    free(used);
    free(row);
    free(alpha);
    folded_free(&f);
    return made;
}
