/* Long runs have more lines than a curve has points. */
#ifndef REGARD_PAGE_RUN_THIN_H
#define REGARD_PAGE_RUN_THIN_H

#include "src/page/run_record.h"

/* Leaves at most `most` rows: so many rows that follow one another become one, at the last one's
 * step. Metrics of training are the mean of theirs; times (time_KIND, which a row leaves
 * out where nothing of the kind was done) the sum, so that shares of them are the run's; held-out
 * metrics, audits, what a --change set and the number of a rank are the last of theirs, since a
 * mean would hide how they swing; an alarm of any of them stays one. */
void run_thin(struct run_record *run, int64_t most);

#endif
