/* What a reward model reads of an example: in training, at held-out pairs and in eval. */
#ifndef REGARD_MPI_REWARD_PAIR_H
#define REGARD_MPI_REWARD_PAIR_H

#include "src/learn/preference.h"
#include "src/task/reward_examples.h"
#include "src/task/reward_sequence.h"

struct reward_pair {
    struct reward_sequence sequences[2]; /* [count]: the right reply's, the other's; or one with
                                          * both, as a teacher reads them (rm.objective: pair) */
    int64_t count;
    int order;         /* of both: 1, the right one first, or -1 */
    int64_t tokens[2]; /* of the replies, the right one first */
};

/* Of example `index` at a place of the endless order (reward_examples_wrong). */
void reward_pair_make(const struct reward_examples *examples, int64_t seed, int64_t index,
                      int64_t place, bool held_out, bool joined, struct reward_pair *out);
/* By the values [count] of its sequences; of a joined one half of the number each way, so that
 * their difference is it. */
struct preference_scores reward_pair_scores(const struct reward_pair *pair, const double *values);
void reward_pair_free(struct reward_pair *pair);

#endif
