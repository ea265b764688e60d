/* Which words, and so which tokens, of a message are salient: rules 1 to 3 of "Salience" in
 * docs/reward.md. */
#ifndef REGARD_TEXT_SALIENCE_H
#define REGARD_TEXT_SALIENCE_H

#include "src/base/status.h"
#include "src/text/idf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct keyword_set; /* lower-cased words */
/* A file with one word a line; lines are split and lower-cased as words are. */
status keywords_read(const char *path, struct keyword_set **out);
void keywords_free(struct keyword_set *set);

struct salience_options {
    const struct idf_table *idf;        /* NULL: rule 1 is off */
    double idf_threshold;               /* idf_quantile(idf, salience.idf_quantile) */
    const struct keyword_set *keywords; /* NULL: rule 2 is off */
    bool entities;                      /* rule 3 */
    bool digits;                        /* words with a digit, whatever rule 3 */
};

/* salient[i] for each of count tokens with byte ranges [begin[i], end[i]) of text: 1 if any
 * of its bytes lies in a salient word.  Empty ranges are never salient. */
void salience_mark(const struct salience_options *options, const char *text, size_t size,
                   const int32_t *begin, const int32_t *end, int64_t count, uint8_t *salient);

#endif
