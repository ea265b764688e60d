/* The lines of a JSON Lines file, one after the other, or of a set that is made from a seed. */
#ifndef REGARD_DATA_LINES_H
#define REGARD_DATA_LINES_H

#include "src/base/status.h"

#include <stddef.h>
#include <stdint.h>

/* A line without its break, and where it stands: "FILE:LINE" and the number from 1. */
typedef status line_function(void *context, const char *text, size_t size, const char *where,
                             int64_t number);

/* Calls for each line of a text that is not blank; path: as messages have it.  Lines end at \n
 * alone; a byte order mark at the start is passed over. */
status lines_of_text(const char *path, const char *text, size_t size, line_function *take,
                     void *context);
/* STATUS_INPUT where the text begins as compressed files, archives or Parquet do. */
status text_check_packed(const char *path, const char *text, size_t size);
/* Calls for each line of a file (-: standard input), or of a set, by its name
 * (src/base/data_name.h). A JSON list, and a file without a line, are errors. */
status lines_read(const char *path, line_function *take, void *context);

#endif
