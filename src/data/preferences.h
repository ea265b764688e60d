/* Pairs of replies to one history, one preferred.  A JSON line is one of
 *   {"prompt":TEXT,"chosen":TEXT,"rejected":TEXT}
 *   {"messages":[.., the last one the user's],"chosen":TEXT,"rejected":TEXT}
 * Whatever else the line says is kept in its history's json. */
#ifndef REGARD_DATA_PREFERENCES_H
#define REGARD_DATA_PREFERENCES_H

#include "src/data/dialogue.h"

struct preference {
    struct dialogue history; /* ends in the user's message; its json is the whole line */
    char *chosen, *rejected; /* either may be empty */
};

struct preferences {
    struct preference *list;
    int64_t count;
    /* Lines left out, whose two replies are the same text; the first of them. */
    int64_t same, same_line;
    char path[1024];
};

/* path: a JSON Lines file or the name of a set that is made from a seed.  Errors name the line. */
status preferences_read(const char *path, struct preferences **out);
void preferences_free(struct preferences *preferences);

#endif
