/* Which tokens of old turns go where a history is too long (history.prune; "History limits" in
 * docs/reward.md), and what their order is by. */
#ifndef REGARD_TEXT_HISTORY_PRUNE_H
#define REGARD_TEXT_HISTORY_PRUNE_H

#include "src/text/history_state.h"
#include "src/text/idf.h"

#include <stddef.h>

/* rarity [count] of tokens with byte ranges [begin[i], end[i]) of text: the highest idf of the
 * words that hold any of its bytes, 0 where none does. */
void prune_rarity(const struct idf_table *idf, const char *text, size_t size, const int32_t *begin,
                  const int32_t *end, int64_t count, double *rarity);
/* How many of the message's tokens may go: all but special and salient ones, a template's white
 * space and what ended it. */
int64_t prune_possible(const struct history *history, const struct history_message *message);
/* Marks `excess` tokens of messages [first, end), which have so many that may go: the caller frees
 * [tokens of these messages]. */
uint8_t *prune_choose(const struct history *history, int64_t first, int64_t end, int64_t excess);

#endif
