/* A fit: a number that ranks replies to one history, linear in their columns. */
#ifndef REGARD_FIT_FIT_H
#define REGARD_FIT_FIT_H

#include "src/fit/problem.h"

/* score = sum of weight (x - mean) / deviation over the dense columns of `sets`, plus the weights
 * of the bag's buckets, less length[0] L + length[1] L^2 and the offset, L being the tokens.  On
 * the replies that it was fitted on its mean is 0, its deviation within histories 1, and within
 * histories it is uncorrelated with L and L^2. */
struct fit {
    struct fit_layout layout;
    unsigned sets;
    double *mean, *deviation, *weight; /* [fit_layout_width]; weight 0 outside of `sets` */
    int32_t *bucket;                   /* [bucket_count] ascending; without words none */
    double *bucket_weight;
    int64_t bucket_count;
    double length[2], offset;
    double strength;            /* of the ridge */
    int64_t histories, replies; /* that it was fitted on */
};
void fit_free(struct fit *fit);

double fit_score(const struct fit *fit, const double *dense, const struct word_bag *bag,
                 double length);

/* alpha [count, FIT_LABELS] = (K + strength I)^-1 labels, over the rows `row` [count] of the
 * problem; kernel [rows, rows], all of it. */
void ridge_solve(const struct fit_problem *problem, const double *kernel, const int64_t *row,
                 int64_t count, double strength, double *alpha);
/* The fit of label 0 whose solution over the rows of the used histories `used` [count] (in their
 * order) is alpha [.., FIT_LABELS].  false: it gives all replies of a history the same. */
bool fit_make(const struct fit_problem *problem, unsigned sets, const int64_t *used, int64_t count,
              const double *alpha, double strength, struct fit *out);

#endif
