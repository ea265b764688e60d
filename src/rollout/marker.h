/* The marker between reasoning and answer: where it stands in a reply, and when it is put there
 * (cot.reason_tokens). */
#ifndef REGARD_ROLLOUT_MARKER_H
#define REGARD_ROLLOUT_MARKER_H

#include "src/rollout/settings.h"
#include "src/text/tokenizer.h"

/* The token that holds the first byte of the marker's text, spaces around it left out, where the
 * text has it first; -1: it has not. */
int64_t marker_find(const struct cot_settings *cot, const char *text, const int32_t *begin,
                    const int32_t *end, int64_t count);
/* Whether a reply that begins with these `cot.reason_tokens` tokens goes on with the marker, which
 * it has not yet. */
status marker_is_due(const struct cot_settings *cot, const int32_t *tokens, bool *due);

#endif
