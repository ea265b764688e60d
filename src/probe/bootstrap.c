/* Dialogues drawn with replacement; see bootstrap.h. */
#include "src/probe/bootstrap.h"

#include "src/base/memory.h"
#include "src/base/philox.h"

#include <math.h>
#include <stdlib.h>

enum { RESAMPLES = 1000, PARTS_MAX = 8 };

void bootstrap_create(struct bootstrap *bootstrap, int64_t dialogues, int64_t seed)
{
    *bootstrap = (struct bootstrap){.dialogues = dialogues, .resamples = RESAMPLES};
    bootstrap->drawn =
        memory_allocate((size_t)(RESAMPLES * dialogues) * sizeof *bootstrap->drawn + 2);
    const uint32_t key[2] = {(uint32_t)seed, RANDOM_PROBE};
    for (int64_t r = 0; r < RESAMPLES; r++)
        for (int64_t d = 0; d < dialogues; d++) {
            const uint32_t counter[4] = {(uint32_t)r, (uint32_t)d, 0, 0};
            uint32_t random[4];
            philox4x32(counter, key, random);
            const uint64_t one = (uint64_t)random[0] * (uint64_t)dialogues >> 32;
            bootstrap->drawn[r * dialogues + (int64_t)one]++;
        }
}

void bootstrap_free(struct bootstrap *bootstrap)
{
    free(bootstrap->drawn);
    *bootstrap = (struct bootstrap){0};
}

struct figure bootstrap_figure(const struct bootstrap *bootstrap, const double *sums, int64_t parts,
                               double (*of)(const double *total))
{
    double total[PARTS_MAX] = {0}, sum = 0, square = 0;
    int64_t there = 0;
    for (int64_t d = 0; d < bootstrap->dialogues; d++)
        for (int64_t p = 0; p < parts; p++) total[p] += sums[d * parts + p];
    struct figure figure = {of(total), NAN};
    if (!isfinite(figure.value)) return (struct figure){NAN, NAN};
    for (int64_t r = 0; r < bootstrap->resamples; r++) {
        const uint16_t *drawn = bootstrap->drawn + r * bootstrap->dialogues;
        double again[PARTS_MAX] = {0};
        for (int64_t d = 0; d < bootstrap->dialogues; d++)
            for (int64_t p = 0; p < parts; p++) again[p] += drawn[d] * sums[d * parts + p];
        const double value = of(again);
        if (!isfinite(value)) continue; /* nothing of it was drawn */
        sum += value - figure.value;
        square += (value - figure.value) * (value - figure.value);
        there++;
    }
    if (there > 1) figure.error = sqrt((square - sum * sum / (double)there) / (double)(there - 1));
    return figure;
}

double figure_ratio(const double *total)
{
    return total[1] > 0 ? total[0] / total[1] : NAN;
}
