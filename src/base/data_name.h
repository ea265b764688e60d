/* Data that the program makes itself, by name: "synthetic:SEED:COUNT" and its like, wherever a path
 * of dialogues is taken.  src/data/generators.c makes them. */
#ifndef REGARD_BASE_DATA_NAME_H
#define REGARD_BASE_DATA_NAME_H

#include <stdbool.h>

extern const char *const data_names[]; /* what stands before the first colon; ends in NULL */
bool data_is_generated(const char *path);

#endif
