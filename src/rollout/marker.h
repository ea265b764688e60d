/* The marker between reasoning and answer: where it stands in a reply, and when it is put there
 * (cot.reason_tokens). */
#ifndef REGARD_ROLLOUT_MARKER_H
#define REGARD_ROLLOUT_MARKER_H

#include "src/rollout/cot_settings.h"
#include "src/text/tokenizer.h"

/* The tokens that hold the first and the last byte of the marker's text, spaces around it left out;
 * -1: a reply has none. */
struct marker_place {
    int64_t first, last;
};
/* The first one in a text of `count` tokens. */
struct marker_place marker_find(const struct cot_settings *cot, const char *text,
                                const int32_t *begin, const int32_t *end, int64_t count);
/* The same of tokens, by the settings' tokenizer. */
status marker_place(const struct cot_settings *cot, const int32_t *tokens, int64_t count,
                    struct marker_place *place);
/* Whether a reply that begins with these `cot.reason_tokens` tokens goes on with the marker, which
 * it has not yet. */
status marker_is_due(const struct cot_settings *cot, const int32_t *tokens, bool *due);

#endif
