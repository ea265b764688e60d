/* Replies compared within their history: ranks, and what remains of them beside length. */
#ifndef REGARD_FIT_WITHIN_H
#define REGARD_FIT_WITHIN_H

#include <stdbool.h>
#include <stdint.h>

/* Whether two of the values [count] differ. */
bool within_differ(const double *values, int64_t count);
/* rank [count] = (place - 1) / (count - 1) - 1/2 in ascending order; ties share their mean. */
void within_ranks(const double *values, int64_t count, double *rank);
/* An orthonormal basis of what is orthogonal to constants and, with `without_length`, to length and
 * its square: basis [count, count], of which the first *columns columns are set. */
void within_basis(const double *length, int64_t count, bool without_length, double *basis,
                  int64_t *columns);
/* out [columns] = basis^T values. */
void within_project(const double *basis, int64_t count, int64_t columns, const double *values,
                    double *out);
/* Whether a projected vector is 0 but for rounding: there is nothing beside length in it. */
bool within_vanishes(const double *projected, int64_t columns);
/* The rank correlation of a history's values; with `without_length` length and its square are taken
 * out of the ranks first.  0 where a's ranks have nothing left and b's have; NaN where b's have
 * nothing left: constant, length and its square span all that 3 replies can differ in. */
double within_rank_correlation(const double *a, const double *b, const double *length,
                               int64_t count, bool without_length);
/* Of the pairs of replies whose `target` differs: adds their number to *pairs, and to *right those
 * that `value` orders alike, ties as halves. */
void within_pairs(const double *value, const double *target, int64_t count, double *right,
                  double *pairs);

#endif
