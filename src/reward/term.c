/* What several terms use. */
#include "src/reward/term.h"

double term_mean(const float *values, int64_t count)
{
    double sum = 0;
    for (int64_t i = 0; i < count; i++) sum += (double)values[i];
    return sum / (double)count;
}
