/* Ranks and what remains beside length; see within.h. */
#include "src/fit/within.h"

#include "src/base/memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A direction that keeps less than this of its length is rounding. */
#define NOTHING 1e-9

bool within_differ(const double *values, int64_t count)
{
    for (int64_t i = 1; i < count; i++)
        if (values[i] != values[0]) return true;
    return false;
}

void within_ranks(const double *values, int64_t count, double *rank)
{
    for (int64_t i = 0; i < count; i++) {
        int64_t below = 0, equal = 0;
        for (int64_t j = 0; j < count; j++) {
            below += values[j] < values[i];
            equal += values[j] == values[i];
        }
        const double place = (double)below + ((double)equal - 1) / 2;
        rank[i] = count > 1 ? place / (double)(count - 1) - 0.5 : 0;
    }
}

static double dot(const double *a, const double *b, int64_t count)
{
    double sum = 0;
    for (int64_t i = 0; i < count; i++) sum += a[i] * b[i];
    return sum;
}

/* vector less its parts along the orthonormal directions [count of them, size]; twice, since one
 * pass leaves rounding behind. */
static void orthogonalise(double *vector, const double *directions, int64_t known, int64_t size)
{
    for (int pass = 0; pass < 2; pass++)
        for (int64_t d = 0; d < known; d++) {
            const double along = dot(vector, directions + d * size, size);
            for (int64_t i = 0; i < size; i++) vector[i] -= along * directions[d * size + i];
        }
}

static bool direction_add(double *vector, double *directions, int64_t *known, int64_t size)
{
    const double before = sqrt(dot(vector, vector, size));
    orthogonalise(vector, directions, *known, size);
    const double left = sqrt(dot(vector, vector, size));
    if (!(left > NOTHING * before)) return false;
    for (int64_t i = 0; i < size; i++) directions[*known * size + i] = vector[i] / left;
    ++*known;
    return true;
}

void within_basis(const double *length, int64_t count, bool without_length, double *basis,
                  int64_t *columns)
{
    double *directions = memory_allocate((size_t)(count * count + count) * sizeof *directions);
    double *vector = directions + count * count, mean = 0;
    int64_t known = 0;
    for (int64_t i = 0; i < count; i++) {
        vector[i] = 1;
        mean += length[i] / (double)count;
    }
    direction_add(vector, directions, &known, count);
    for (int power = 1; without_length && power <= 2 && known < count; power++) {
        for (int64_t i = 0; i < count; i++) vector[i] = pow(length[i] - mean, power);
        direction_add(vector, directions, &known, count);
    }
    const int64_t out = known;
    /* The rest, from the unit vector that has most left outside of what is known. */
    while (known < count) {
        int64_t best = 0;
        double most = -1;
        for (int64_t i = 0; i < count; i++) {
            double left = 1;
            for (int64_t d = 0; d < known; d++)
                left -= directions[d * count + i] * directions[d * count + i];
            if (left > most + NOTHING) {
                most = left;
                best = i;
            }
        }
        memset(vector, 0, (size_t)count * sizeof *vector);
        vector[best] = 1;
        direction_add(vector, directions, &known, count);
    }
    *columns = count - out;
    for (int64_t i = 0; i < count; i++)
        for (int64_t c = 0; c < *columns; c++)
            basis[i * count + c] = directions[(out + c) * count + i];
    free(directions);
}

void within_project(const double *basis, int64_t count, int64_t columns, const double *values,
                    double *out)
{
    for (int64_t c = 0; c < columns; c++) {
        out[c] = 0;
        for (int64_t i = 0; i < count; i++) out[c] += basis[i * count + c] * values[i];
    }
}

bool within_vanishes(const double *left, int64_t columns)
{
    return !(dot(left, left, columns) > NOTHING * NOTHING);
}

/* Of two vectors that are projected already; NaN where one of them is 0. */
static double within_correlation(const double *a, const double *b, int64_t columns)
{
    if (within_vanishes(a, columns) || within_vanishes(b, columns)) return NAN;
    return dot(a, b, columns) / sqrt(dot(a, a, columns)) / sqrt(dot(b, b, columns));
}

double within_rank_correlation(const double *a, const double *b, const double *length,
                               int64_t count, bool without_length)
{
    if (count < 2) return NAN;
    double *memory = memory_allocate((size_t)(count * count + 4 * count) * sizeof *memory);
    double *rank_a = memory + count * count, *rank_b = rank_a + count;
    double *left_a = rank_b + count, *left_b = left_a + count;
    int64_t columns;
    within_basis(length, count, without_length, memory, &columns);
    within_ranks(a, count, rank_a);
    within_ranks(b, count, rank_b);
    within_project(memory, count, columns, rank_a, left_a);
    within_project(memory, count, columns, rank_b, left_b);
    double correlation = NAN;
    if (!within_vanishes(left_b, columns))
        correlation =
            within_vanishes(left_a, columns) ? 0 : within_correlation(left_a, left_b, columns);
    free(memory);
    return correlation;
}

void within_pairs(const double *value, const double *target, int64_t count, double *right,
                  double *pairs)
{
    for (int64_t i = 0; i < count; i++)
        for (int64_t j = 0; j < count; j++) {
            if (!(target[i] > target[j])) continue;
            *pairs += 1;
            *right += value[i] > value[j] ? 1 : value[i] == value[j] ? 0.5 : 0;
        }
}
