/* Replies as sources of reward see them. */
#ifndef REGARD_ROLLOUT_JUDGE_H
#define REGARD_ROLLOUT_JUDGE_H

#include "src/rollout/prompt.h"
#include "src/rollout/reply.h"
#include "src/source/source.h"
#include "src/text/tokenizer.h"

/* A reply that is to be judged; all borrowed. */
struct judged {
    struct turn_key key;
    const struct dialogue *line;
    int64_t message; /* in line->messages, of the gold reply to this turn; -1: none */
    const struct message *messages; /* [message_count] the history */
    int64_t message_count;
    const struct prompt *prompt;
    const struct reply *reply;
    const struct reply *scored; /* what the reference says of it (scorer: frozen); NULL: nothing */
};

/* terms [count][TERM_MAX]: those that sources give are written; cuts: as sources_compute has them.
 * The replies to one history lie together, by candidate.  set: NULL or without sources: nothing is
 * done. */
status replies_judge(struct source_set *set, const struct tokenizer *tokenizer,
                     const struct judged *judged, int64_t count, double (*terms)[TERM_MAX],
                     struct given_spans *cuts);

#endif
