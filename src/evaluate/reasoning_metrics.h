/* Metrics of replies that reason (task: reasoning), beside their answers (docs/reward.md, Chain of
 * thought). */
#ifndef REGARD_EVALUATE_REASONING_METRICS_H
#define REGARD_EVALUATE_REASONING_METRICS_H

#include "src/data/dialogue.h"

enum reasoning_metric {
    REASONING_EXACT_STRICT,   /* share of replies whose number after "#### " is the answer */
    REASONING_EXACT_FLEXIBLE, /* whose last number is */
    REASONING_PRECISION,      /* share of the replies' steps that are steps of the gold reply */
    REASONING_RECALL,         /* share of the gold replies' steps that a reply has */
    REASONING_EQUATIONS,      /* share of the replies' equations that hold */
    REASONING_METRICS
};

/* Sums over replies. */
struct reasoning_sums {
    int64_t replies, strict, flexible;   /* that have an answer to be held against; right ones */
    int64_t steps, gold_steps, matching; /* of the replies, of the gold replies, of both */
    int64_t equations, hold;
};

/* A step is a line, or a part of one, before the marker, compared as answer_match does; each of the
 * gold reply matches one.  The answer to a line's last message is the line's, where it has one; any
 * other is the last number of the gold reply, which is that message.  marker: cot.answer_marker. */
void reasoning_add(struct reasoning_sums *sums, const struct dialogue *line, int64_t message,
                   const char *gold, const char *reply, const char *marker);
/* The metric as a part of a whole, which may be 0. */
struct reasoning_share {
    int64_t part, whole;
};
struct reasoning_share reasoning_share(const struct reasoning_sums *sums,
                                       enum reasoning_metric metric);

#endif
