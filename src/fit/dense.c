/* Blocked products for the CPU at hand; see dense.h.  The wide code is the plain code compiled for
 * wider registers: multiplications and additions are apart (-ffp-contract=off), lanes are different
 * results, and so the bits are the same. */
#include "src/fit/dense.h"

#include "src/base/memory.h"

#include <math.h>
#include <stdlib.h>

enum { BLOCK = 64, ROWS = 4, LANES = 8 };

typedef double half __attribute__((vector_size(LANES / 2 * sizeof(double))));

/* out [ROWS, LANES] = sum over k of row[r][k] * panel[k, 0..LANES), k ascending. */
static inline __attribute__((always_inline)) void tile_body(const double *const row[ROWS],
                                                            const double *panel, int64_t count,
                                                            double out[ROWS][LANES])
{
    half low[ROWS] = {{0}}, high[ROWS] = {{0}};
    for (int64_t k = 0; k < count; k++) {
        half left, right;
        __builtin_memcpy(&left, panel + k * BLOCK, sizeof left);
        __builtin_memcpy(&right, panel + k * BLOCK + LANES / 2, sizeof right);
#pragma GCC unroll 4
        for (int r = 0; r < ROWS; r++) {
            low[r] += row[r][k] * left;
            high[r] += row[r][k] * right;
        }
    }
    for (int r = 0; r < ROWS; r++) {
        __builtin_memcpy(out[r], &low[r], sizeof low[r]);
        __builtin_memcpy(out[r] + LANES / 2, &high[r], sizeof high[r]);
    }
}

typedef void tile_function(const double *const row[ROWS], const double *panel, int64_t count,
                           double out[ROWS][LANES]);

static void tile_plain(const double *const row[ROWS], const double *panel, int64_t count,
                       double out[ROWS][LANES])
{
    tile_body(row, panel, count, out);
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) static void tile_avx2(const double *const row[ROWS],
                                                      const double *panel, int64_t count,
                                                      double out[ROWS][LANES])
{
    tile_body(row, panel, count, out);
}

static tile_function *tile_choose(void)
{
    return __builtin_cpu_supports("avx2") ? tile_avx2 : tile_plain;
}
#else
static tile_function *tile_choose(void)
{
    return tile_plain;
}
#endif

/* c[i, j] += scale * sum over k < count of a[i, k] a[j, k], for j of the columns [begin, end), at
 * most BLOCK of them, and i from begin to n.  panel [count, BLOCK] is scratch. */
static void block_add(double *c, int64_t n, const double *a, int64_t stride, int64_t count,
                      int64_t begin, int64_t end, double scale, double *panel)
{
    tile_function *tile = tile_choose();
    for (int64_t k = 0; k < count; k++)
        for (int64_t j = 0; j < BLOCK; j++)
            panel[k * BLOCK + j] = begin + j < end ? a[(begin + j) * stride + k] : 0;
    for (int64_t i = begin; i < n; i += ROWS) {
        const double *row[ROWS];
        for (int r = 0; r < ROWS; r++) row[r] = a + (i + r < n ? i + r : n - 1) * stride;
        for (int64_t j = begin; j < end && j < i + ROWS; j += LANES) {
            double sum[ROWS][LANES];
            tile(row, panel + (j - begin), count, sum);
            for (int r = 0; r < ROWS && i + r < n; r++)
                for (int64_t l = 0; l < LANES && j + l < end && j + l <= i + r; l++)
                    c[(i + r) * n + j + l] += scale * sum[r][l];
        }
    }
}

void dense_gram_add(double *c, int64_t n, const double *a, int64_t stride, int64_t width,
                    double scale)
{
    double *panel = memory_allocate((size_t)(width * BLOCK) * sizeof *panel);
    for (int64_t begin = 0; begin < n; begin += BLOCK)
        block_add(c, n, a, stride, width, begin, begin + BLOCK < n ? begin + BLOCK : n, scale,
                  panel);
    free(panel);
}

/* The columns [begin, end) of the factor, whose sums over earlier columns are subtracted already.
 */
static bool columns_factor(double *a, int64_t n, int64_t begin, int64_t end)
{
    const int64_t width = end - begin;
    double transposed[BLOCK][BLOCK], inverse[BLOCK];
    for (int64_t j = 0; j < width; j++) {
        double *row = a + (begin + j) * n + begin;
        for (int64_t k = 0; k < j; k++) {
            row[k] *= inverse[k];
            for (int64_t l = k + 1; l < j; l++) row[l] -= row[k] * transposed[k][l];
            row[j] -= row[k] * row[k];
        }
        if (!(row[j] > 0) || !isfinite(row[j])) return false;
        row[j] = sqrt(row[j]);
        inverse[j] = 1 / row[j];
        for (int64_t k = 0; k <= j; k++) transposed[k][j] = row[k];
    }
    for (int64_t i = end; i < n; i++) {
        double *row = a + i * n + begin;
        for (int64_t k = 0; k < width; k++) {
            const double x = row[k] * inverse[k];
            row[k] = x;
            for (int64_t l = k + 1; l < width; l++) row[l] -= x * transposed[k][l];
        }
    }
    return true;
}

bool dense_factor(double *a, int64_t n)
{
    double *panel = memory_allocate((size_t)(n * BLOCK) * sizeof *panel + 8);
    bool positive = true;
    for (int64_t begin = 0; positive && begin < n; begin += BLOCK) {
        const int64_t end = begin + BLOCK < n ? begin + BLOCK : n;
        block_add(a, n, a, n, begin, begin, end, -1, panel);
        positive = columns_factor(a, n, begin, end);
    }
    free(panel);
    return positive;
}

void dense_solve(const double *factor, int64_t n, double *b)
{
    for (int64_t i = 0; i < n; i++) {
        double *row = b + i * DENSE_COLUMNS;
        for (int64_t k = 0; k < i; k++)
            for (int c = 0; c < DENSE_COLUMNS; c++)
                row[c] -= factor[i * n + k] * b[k * DENSE_COLUMNS + c];
        for (int c = 0; c < DENSE_COLUMNS; c++) row[c] /= factor[i * n + i];
    }
    for (int64_t i = n - 1; i >= 0; i--) {
        const double *row = b + i * DENSE_COLUMNS;
        for (int c = 0; c < DENSE_COLUMNS; c++) b[i * DENSE_COLUMNS + c] /= factor[i * n + i];
        for (int64_t k = 0; k < i; k++)
            for (int c = 0; c < DENSE_COLUMNS; c++)
                b[k * DENSE_COLUMNS + c] -= factor[i * n + k] * row[c];
    }
}
