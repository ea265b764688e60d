/* A dialogue's turns as a forest; see experience_tokens.h. */
#include "src/rollout/experience_tokens.h"

#include "src/base/memory.h"
#include "src/model/forest.h"

#include <stdlib.h>
#include <string.h>

/* The sequence that sampling a reply computes: the history and the reply without its last token,
 * cut where the reply's rows begin too. */
struct sequence {
    int32_t *tokens, *cuts;
};

static struct sequence sequence_make(const struct experience_turn *turn)
{
    const size_t history = (size_t)turn->history_length, cuts = (size_t)turn->cut_count;
    struct sequence sequence;
    sequence.tokens =
        memory_allocate((history + (size_t)turn->reply_length) * sizeof *sequence.tokens + 4);
    sequence.cuts = memory_allocate((cuts + 1) * sizeof *sequence.cuts);
    memcpy(sequence.tokens, turn->history_tokens, history * sizeof *sequence.tokens);
    if (turn->reply_length)
        memcpy(sequence.tokens + history, turn->reply_tokens,
               (size_t)turn->reply_length * sizeof *sequence.tokens);
    if (cuts) memcpy(sequence.cuts, turn->cuts, cuts * sizeof *sequence.cuts);
    sequence.cuts[cuts] = turn->history_length - 1;
    return sequence;
}

void experience_tokens_add(const struct experience *experience, bool causal,
                           struct experience_tokens *tokens)
{
    const size_t turns = (size_t)experience->turn_count;
    struct forest forest = {0};
    struct sequence *sequences = memory_allocate((turns + 1) * sizeof *sequences);
    int64_t *leaves = memory_allocate((turns + 1) * sizeof *leaves); /* the replies' rows */
    int64_t replies = 0;
    for (size_t i = 0; i < turns; i++) {
        const struct experience_turn *turn = &experience->turns[i];
        sequences[i] = sequence_make(turn);
        if (!turn->reply_length) continue;
        /* A causal model's history ends in the reply's first input. */
        tokens->pairs += turn->history_length + turn->reply_length - (causal ? 1 : 0);
        tokens->computed += turn->reply_length;
        if (causal)
            leaves[replies++] = forest_add(&forest, sequences[i].tokens,
                                           turn->history_length + turn->reply_length - 1,
                                           sequences[i].cuts, turn->cut_count + 1);
        else
            forest_add(&forest, sequences[i].tokens, turn->history_length, NULL, 0);
    }
    tokens->computed += forest.rows;
    for (int64_t r = 0; r < replies; r++) {
        bool counted = false; /* as an equal reply's */
        for (int64_t o = 0; o < r && !counted; o++) counted = leaves[o] == leaves[r];
        if (!counted) tokens->computed -= forest.nodes[leaves[r]].count;
    }
    for (size_t i = 0; i < turns; i++) {
        free(sequences[i].tokens);
        free(sequences[i].cuts);
    }
    free(sequences);
    free(leaves);
    forest_free(&forest);
}
