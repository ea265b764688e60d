/* Bytes that came to this rank from others, by what they are: metrics.jsonl has their sums over the
 * ranks.  May be counted by any thread. */
#ifndef REGARD_BASE_TRAFFIC_H
#define REGARD_BASE_TRAFFIC_H

#include <stdint.h>

enum traffic_kind {
    TRAFFIC_WEIGHTS, /* learner 0's with running statistics, to actors, also by memory that a host
                        shares */
    TRAFFIC_EXPERIENCE, /* dialogues, to the learners that own them */
    TRAFFIC_GRADIENTS,  /* between learners, until each has the sum of its slice */
    TRAFFIC_PARAMETERS, /* every learner's slice, to the others */
    TRAFFIC_KINDS
};

/* "weights" */
const char *traffic_kind_name(enum traffic_kind kind);
void traffic_add(enum traffic_kind kind, int64_t bytes);
/* What came since the last call. */
/* All that has come so far. */
int64_t traffic_whole(void);
void traffic_take(int64_t bytes[TRAFFIC_KINDS]);

#endif
