/* What a reward model reads: a history as the prompt is written for the model, and the reply to it
 * with its end token. */
#ifndef REGARD_TASK_REWARD_SEQUENCE_H
#define REGARD_TASK_REWARD_SEQUENCE_H

#include <stdint.h>

struct reward_sequence {
    int32_t *tokens; /* [count] */
    int32_t *cuts;   /* [cut_count] the history's, and where it ends: sequences of one history share
                      * what was computed up to there (struct encoded_history) */
    int64_t count, cut_count;
};

/* end: the token that is put behind a reply that has not ended; -1: it has. */
void reward_sequence_make(const int32_t *history, int64_t history_count, const int32_t *cuts,
                          int64_t cut_count, const int32_t *reply, int64_t reply_count, int32_t end,
                          struct reward_sequence *out);
void reward_sequence_free(struct reward_sequence *sequence);

#endif
