/* The dense float64 algebra of a ridge: A A^T, Cholesky's factor, and solutions with it.  Every sum
 * has one order, whatever the processor. */
#ifndef REGARD_FIT_DENSE_H
#define REGARD_FIT_DENSE_H

#include <stdbool.h>
#include <stdint.h>

enum { DENSE_COLUMNS = 8 }; /* right-hand sides that are solved at once */

/* c [n, n] += scale a a^T, on and below the diagonal; a [n, stride], of which `width` columns. */
void dense_gram_add(double *c, int64_t n, const double *a, int64_t stride, int64_t width,
                    double scale);
/* a [n, n], on and below the diagonal, becomes L with a = L L^T; what is above stays.  false: a is
 * not positive definite. */
bool dense_factor(double *a, int64_t n);
/* b [n, DENSE_COLUMNS] becomes (L L^T)^-1 b. */
void dense_solve(const double *factor, int64_t n, double *b);

#endif
