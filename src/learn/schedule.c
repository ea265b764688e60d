/* Warm-up, then constant or cosine. */
#include "src/learn/schedule.h"

#include "src/base/choices.h"

#include <math.h>

double schedule_rate(int schedule, double lr, int64_t warmup, int64_t step, int64_t total)
{
    if (step < warmup) return lr * ((double)(step + 1) / (double)warmup);
    if (schedule != SCHEDULE_COSINE || total <= warmup) return lr;
    double progress = step >= total ? 1 : (double)(step - warmup) / (double)(total - warmup);
    return lr * 0.5 * (1 + cos(acos(-1.0) * progress));
}
