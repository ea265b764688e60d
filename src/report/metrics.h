/* A run's measurements: one JSON object a step, appended to RUN/metrics.jsonl. */
#ifndef REGARD_REPORT_METRICS_H
#define REGARD_REPORT_METRICS_H

#include "src/base/status.h"

#include <stdbool.h>
#include <stdint.h>

struct metric {
    const char *name;
    double value;
    const char *json; /* instead of the value, as it is; NULL: there is none.  Not TensorBoard's */
};

struct metrics;

/* Opens RUN/metrics.jsonl for appending.  Lines of steps after last_step, and a line that a
 * killed run left unfinished, are cut off first; last_step -1 empties the file. */
status metrics_open(struct metrics **out, const char *run, int64_t last_step);
/* {"step":STEP,"name":value,...}; flushed, so that a reader sees whole lines. */
status metrics_write(struct metrics *metrics, int64_t step, const struct metric *list,
                     int64_t count);
/* What RUN/metrics.jsonl says of a metric at a step: *found false where no line has it; NaN where
 * it was not finite. */
status metrics_find(const char *run, int64_t step, const char *name, bool *found, double *value);
/* Until here it is on the disk: before a checkpoint counts on it. */
status metrics_sync(struct metrics *metrics);
status metrics_close(struct metrics *metrics); /* synced; frees it in any case */

#endif
