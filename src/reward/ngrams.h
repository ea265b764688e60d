/* A set of n-grams of token ids, exact: a hash finds the place, the ids decide. */
#ifndef REGARD_REWARD_NGRAMS_H
#define REGARD_REWARD_NGRAMS_H

#include "src/base/status.h"

#include <stdbool.h>
#include <stdint.h>

struct ngram_set;

/* Room for `capacity` n-grams of n >= 1 ids; the ids added must outlive the set. */
status ngram_set_create(int64_t n, int64_t capacity, struct ngram_set **out);
void ngram_set_free(struct ngram_set *set);
/* ids[n]; true when it was not there before. */
bool ngram_set_add(struct ngram_set *set, const int32_t *ids);
bool ngram_set_contains(const struct ngram_set *set, const int32_t *ids);

/* repHist (docs/reward.md): share of the reply's n-gram positions whose n-gram occurs in the
 * history; 0 for a reply shorter than n. */
status ngram_share_in_history(const int32_t *reply, int64_t reply_count, const int32_t *history,
                              int64_t history_count, int64_t n, double *out);
/* repSelf (docs/reward.md): 1 - distinct / positions; 0 for a reply shorter than n. */
status ngram_share_repeated(const int32_t *reply, int64_t count, int64_t n, double *out);

#endif
