/* `regard report`: what runs wrote, as one HTML page that needs nothing beside it.  It is the files
 * of src/page/web and Chart.js, which the build puts into the program (embed.cmake), and the runs'
 * data as JSON that no text of a run can leave. */
#ifndef REGARD_PAGE_PAGE_H
#define REGARD_PAGE_PAGE_H

#include "src/page/run_record.h"

#include <stdio.h>

/* What the page may come to; thinning curves and leaving out samples keeps it there. */
enum { PAGE_BYTES_MAX = 9000000 };

/* watch: the page loads itself again after so many seconds; 0: never. */
status page_write(FILE *out, struct run_record *const *runs, int64_t count, double watch);
/* Whether the build found Chart.js: without it pages have no curves. */
bool page_has_charts(void);

#endif
