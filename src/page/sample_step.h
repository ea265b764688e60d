/* One step's samples for the page; see samples.h. */
#ifndef REGARD_PAGE_SAMPLE_STEP_H
#define REGARD_PAGE_SAMPLE_STEP_H

#include "src/page/run_record.h"

#include <stdio.h>

/* Writes a step as one JSON object.  *dropped counts replies that were left out once `bytes` were
 * written (one is written in any case); lines that are no records are noted. */
status sample_step_write(struct run_record *run, const char *path, int64_t step, size_t bytes,
                         FILE *out, int64_t *dropped);

#endif
