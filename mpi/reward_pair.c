/* See reward_pair.h. */
#include "mpi/reward_pair.h"

#include "src/base/memory.h"
#include "src/learn/aligner.h"

static void pair_join(struct reward_pair *pair, int64_t prompt)
{
    struct learn_turn turns[2];
    for (int i = 0; i < 2; i++)
        turns[i] = (struct learn_turn){.history = pair->sequences[i].tokens,
                                       .history_count = pair->sequences[i].count,
                                       .prompt = prompt};
    const int64_t room = turns[0].history_count + turns[1].history_count;
    struct reward_sequence both = {.tokens = memory_allocate((size_t)room * sizeof(int32_t))};
    both.count = aligner_join(turns, pair->order < 0, both.tokens);
    reward_pair_free(pair);
    pair->sequences[0] = both;
    pair->count = 1;
}

void reward_pair_make(const struct reward_examples *examples, int64_t seed, int64_t index,
                      int64_t place, bool held_out, bool joined, struct reward_pair *out)
{
    const struct reward_example *one = &examples->list[index];
    const struct reward_reply replies[2] = {
        one->right, reward_examples_wrong(examples, seed, index, place, held_out)};
    *out = (struct reward_pair){.count = 2, .order = reward_examples_order(seed, place, held_out)};
    for (int i = 0; i < 2; i++) {
        reward_sequence_make(one->history, one->history_count, one->cuts, one->cut_count,
                             replies[i].tokens, replies[i].count, -1, &out->sequences[i]);
        out->tokens[i] = replies[i].count;
    }
    if (joined) pair_join(out, one->history_count);
}

struct preference_scores reward_pair_scores(const struct reward_pair *pair, const double *values)
{
    const double joined = pair->order * values[0] / 2;
    return pair->count == 1
               ? (struct preference_scores){joined, -joined, pair->tokens[0], pair->tokens[1]}
               : (struct preference_scores){values[0], values[1], pair->tokens[0], pair->tokens[1]};
}

void reward_pair_free(struct reward_pair *pair)
{
    for (int64_t i = 0; i < pair->count; i++) reward_sequence_free(&pair->sequences[i]);
}
