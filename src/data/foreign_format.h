/* Which other program's format a line of dialogue has. */
#ifndef REGARD_DATA_FOREIGN_FORMAT_H
#define REGARD_DATA_FOREIGN_FORMAT_H

#include "src/base/json.h"

/* A prompt and its answer, by the names of their keys; `more` (NULL: none) goes below the prompt.
 */
struct foreign_pair {
    const char *format, *prompt, *more, *reply;
};

const struct foreign_pair *foreign_pair(const json_t *line); /* NULL: the line is none */
/* "ShareGPT (conversations)"; NULL: none that we know, or our own messages. */
const char *foreign_format(const json_t *line);

#endif
