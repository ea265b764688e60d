/* How far a run is: on a terminal one line, rewritten; otherwise a log line a step. */
#ifndef REGARD_REPORT_PROGRESS_H
#define REGARD_REPORT_PROGRESS_H

#include "src/report/metrics.h"

#include <stdbool.h>
#include <stdio.h>

struct progress {
    FILE *out;
    bool terminal;
    const char *what; /* "train", "sft" */
    int64_t first, total;
    double begun; /* monotonic seconds */
    int width;    /* of the line last written on a terminal */
};

/* Steps first+1 .. total are to come; first is not 0 after a resume. */
void progress_begin(struct progress *progress, FILE *out, const char *what, int64_t first,
                    int64_t total);
/* After a step: list is shown as it is; tokens is the number of tokens of this step, 0 if none.
 * seconds: what the step took. */
void progress_step(struct progress *progress, int64_t step, double seconds, double tokens,
                   const struct metric *list, int64_t count);
void progress_end(struct progress *progress); /* ends a terminal's line */

/* "1h02m", "3m05s", "12s" */
void progress_duration(char out[32], double seconds);

#endif
