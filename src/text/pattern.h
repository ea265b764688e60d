/* Regular expressions of tokenizer.json, written for Oniguruma, by PCRE2: \s, \p{L} and \p{N} are
 * those of unicode.h, other properties are of PCRE2's version of Unicode. */
#ifndef REGARD_TEXT_PATTERN_H
#define REGARD_TEXT_PATTERN_H

#include "src/base/status.h"

#include <stdbool.h>
#include <stddef.h>

struct pattern;
/* literal: the text itself is looked for.  where: what an error begins with. */
status pattern_compile(const char *text, bool literal, const char *where, struct pattern **out);
void pattern_free(struct pattern *pattern);

/* Searches valid UTF-8 from one place to the next. */
struct pattern_search {
    struct pattern *pattern;
    const char *text;
    size_t size;
    size_t at, last_end; /* where to go on; the end of the last match */
    bool any;            /* whether there was a match */
};
void pattern_begin(struct pattern_search *search, struct pattern *pattern, const char *text,
                   size_t size);
/* The next match [*begin, *end), which may be empty, but not right behind the match before it;
 * *found false: there is none. */
status pattern_next(struct pattern_search *search, size_t *begin, size_t *end, bool *found);

#endif
