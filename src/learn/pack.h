/* Turns packed for one forward pass: neighbours with the same history share it, and a causal model
 * what histories begin with alike (src/model/forest.h). */
#ifndef REGARD_LEARN_PACK_H
#define REGARD_LEARN_PACK_H

#include "src/learn/batch.h"
#include "src/learn/settings.h"
#include "src/model/batch.h"

struct packed_batch {
    struct model_batch batch;
    int32_t *history_begin, *history_tokens, *reply_begin, *reply_tokens, *reply_history;
    int32_t *cut_begin, *cuts;
    int32_t *history_of_turn; /* [turns], also of turns with an empty reply */
    int64_t tokens;           /* reply tokens */
    int64_t pair_tokens;      /* of history and reply, summed over the replies */
};

/* How many of the next turns go into one pass: learn.reply_tokens and learn.history_tokens, of a
 * causal model those that are computed, bound it.  Turns go by groups of `together`, at least one
 * group.  It depends on the turns alone, so every number of learners cuts alike. */
int64_t pack_chunk(const struct learn_settings *settings, bool causal, int64_t together,
                   const struct learn_turn *turns, int64_t count);
/* The largest pass there can be of turns within the limits. */
struct model_limits pack_limits(const struct learn_settings *settings,
                                const struct learn_limits *limits);
/* Turns with an empty reply are left out of the replies. */
void packed_batch_make(struct packed_batch *packed, const struct learn_turn *turns, int64_t count);
void packed_batch_free(struct packed_batch *packed);

#endif
