/* What a reward model looks at (rm.inspect): accuracy without the first tokens, and attention by
 * fifth of what is read. */
#ifndef REGARD_TOOLS_REWARD_INSPECT_H
#define REGARD_TOOLS_REWARD_INSPECT_H

#include "src/report/metric_list.h"
#include "src/rollout/reward_reader.h"

enum { INSPECT_MASKS = 10, INSPECT_FIFTHS = 5 };

/* Sums over pairs. */
struct inspection {
    int64_t pairs[2];                    /* decided wrongly, rightly */
    double masked[INSPECT_MASKS];        /* right decisions without the first i tenths */
    double attention[2][INSPECT_FIFTHS]; /* mass, a sequence's each, by pairs' decision */
};

/* What is read of a pair: two sequences, the right reply's first, or (count 1) one with both, whose
 * value's sign, times `order`, says which is right.  apart: each of the two is judged by itself. */
status inspect_pair(struct inspection *inspection, struct reward_reader *reader,
                    const struct reward_sequence *sequences, int64_t count, int order, bool apart);
/* masked_0 .. masked_90, attention_wrong_1 .. 5, attention_right_1 .. 5; of no such pair none. */
void inspection_list(const struct inspection *inspection, struct metric_list *out);

#endif
