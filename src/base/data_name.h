/* Data that the program makes itself, by name: "synthetic:SEED:COUNT" and its like, wherever a path
 * of dialogues is taken.  src/data/generators.c makes them. */
#ifndef REGARD_BASE_DATA_NAME_H
#define REGARD_BASE_DATA_NAME_H

#include "src/base/status.h"

#include <stdbool.h>

extern const char *const data_names[]; /* what stands before the first colon; ends in NULL */
bool data_is_generated(const char *path);
/* STATUS_INPUT, with the name that was meant, where nothing lies at the path and it is nearly such
 * a name ("syntetic:1:20"). */
status data_name_check(const char *path);

#endif
