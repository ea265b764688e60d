/* Labelled replies as a ridge sees them: within each history, ranks and columns without constant,
 * length and length's square, written in an orthonormal basis of what remains. */
#ifndef REGARD_FIT_PROBLEM_H
#define REGARD_FIT_PROBLEM_H

#include "src/fit/columns.h"
#include "src/fit/dense.h"

/* Replies with their columns; those of a history stand together, histories of a dialogue too. */
struct fit_replies {
    struct fit_layout layout;
    int64_t count, history_count;
    double *dense;          /* [count, fit_layout_width] */
    struct word_bag *words; /* [count] */
    double *length;         /* [count] tokens */
    int64_t *first;         /* [history_count + 1] a history's first reply */
    int64_t *dialogue;      /* [history_count] from 0 */
};
void fit_replies_create(struct fit_replies *replies, const struct fit_layout *layout, int64_t count,
                        int64_t history_count);
void fit_replies_free(struct fit_replies *replies);

/* Label 0 is the target; the others are it shuffled within histories. */
enum { FIT_LABELS = DENSE_COLUMNS };

struct fit_problem {
    const struct fit_replies *replies;
    int64_t used;     /* histories whose target has two values or more, and that length does not
                       * explain by itself */
    int64_t *history; /* [used] */
    int64_t *first;   /* [used + 1] a used history's first row */
    double **basis;   /* [used] [its replies, its replies], see within_basis */
    int64_t rows;
    double *label;          /* [rows, FIT_LABELS] */
    double *deviation;      /* [width] of a dense column within histories; 0: it does not vary */
    double *dense;          /* [rows, width] over deviation */
    double *words;          /* [rows, rows] products of bags, on and below the diagonal */
    double scale[FIT_SETS]; /* of a set's products, so that a row's with itself are 1 on average */
};

/* target [count].  seed: of the shuffles. */
void fit_problem_create(const struct fit_replies *replies, const double *target, int64_t seed,
                        struct fit_problem *problem);
void fit_problem_free(struct fit_problem *problem);
/* kernel [rows, rows], on and below the diagonal: the mean of the sets' scaled products. */
void fit_problem_kernel(const struct fit_problem *problem, unsigned sets, double *kernel);

#endif
