/* How far a run is: on a terminal one line, rewritten; otherwise a log line a step. */
#ifndef REGARD_REPORT_PROGRESS_H
#define REGARD_REPORT_PROGRESS_H

#include "src/report/metrics.h"

#include <stdbool.h>
#include <stdint.h>

struct progress {
    const char *what; /* "train", "sft" */
    int64_t first, total, every;
    double begun; /* monotonic seconds */
};

/* Steps first+1 .. total are to come; first is not 0 after a resume.  A log line every so many
 * steps and for the last one; on a terminal every step shows. */
void progress_begin(struct progress *progress, const char *what, int64_t first, int64_t total,
                    int64_t every);
/* After a step: list is shown as it is; tokens is the number of tokens of this step, 0 if none.
 * seconds: what the step took; times: where they went, in words; NULL: nothing is said of it. */
void progress_step(struct progress *progress, int64_t step, double seconds, double tokens,
                   const char *times, const struct metric *list, int64_t count);
void progress_end(void); /* ends a terminal's line */

/* "1h02m", "3m05s", "12s" */
void progress_duration(char out[32], double seconds);

#endif
