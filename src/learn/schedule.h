/* Learning rates as a pure function of the step, so that a resumed run has the same. */
#ifndef REGARD_LEARN_SCHEDULE_H
#define REGARD_LEARN_SCHEDULE_H

#include <stdint.h>

/* step from 0 to total - 1.  Warm-up: lr (step + 1) / warmup for the first `warmup` steps; then
 * lr (SCHEDULE_CONSTANT) or lr (1 + cos(pi (step - warmup) / (total - warmup))) / 2
 * (SCHEDULE_COSINE, 0 only from step == total on). */
double schedule_rate(int schedule, double lr, int64_t warmup, int64_t step, int64_t total);

#endif
