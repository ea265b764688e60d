/* A run's folder as a record: settings, metrics as rows, what about.txt says. */
#ifndef REGARD_PAGE_RUN_READ_H
#define REGARD_PAGE_RUN_READ_H

#include "src/page/run_record.h"

/* path is no run's folder, or cannot be read: one line.  rows: the most that are kept; of more,
 * rows that follow one another become one (run_thin.c). */
status run_record_read(const char *path, int64_t rows, struct run_record **out);

#endif
