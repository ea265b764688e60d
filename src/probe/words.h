/* The plain words at the end of a probe. */
#ifndef REGARD_PROBE_WORDS_H
#define REGARD_PROBE_WORDS_H

#include <jansson.h>

/* A list of sentences of a report that has everything else. */
json_t *probe_words(const json_t *report);

#endif
