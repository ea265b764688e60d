/* What a source of reward tells of the replies to one history: plain arrays in, figures out. */
#ifndef REGARD_PROBE_FIGURES_H
#define REGARD_PROBE_FIGURES_H

#include "src/probe/bootstrap.h"

#include <stdbool.h>

/* Replies by history, histories by dialogue; all borrowed. */
struct probe_replies {
    int64_t count, history_count;
    const int64_t *first;    /* [history_count + 1] */
    const int64_t *dialogue; /* [history_count] below the bootstrap's dialogues */
    const double *length;    /* [count] tokens */
};

/* Of one source, values [count]. */
struct source_figures {
    struct figure
        within; /* share of its variance that lies within histories; NaN: it is constant */
    struct figure length; /* rank correlation with length within a history */
    int64_t varied;       /* histories whose replies differ in it */
};
/* Of a source and a metric.  Histories whose replies do not differ in the metric count in best,
 * random and gain alone, those without the metric (NaN) nowhere. */
struct pair_figures {
    struct figure correlation; /* rank correlation within a history; 0 where the source is the same
                                * for all */
    struct figure without_length; /* the same, length and its square taken out of both ranks;
                                   * without the histories where that leaves the metric nothing */
    struct figure pairs_right;    /* share of pairs of replies that it orders as the metric does */
    struct figure best;   /* the metric of the reply that the source takes; ties: their mean */
    struct figure random; /* of a random one */
    struct figure gain;   /* best less random */
    int64_t pairs;        /* of replies that differ in the metric */
    int64_t distinct;     /* histories with two distinct outcomes or more */
    int64_t dialogues;    /* that these are of */
};

struct source_figures source_figures(const struct probe_replies *replies,
                                     const struct bootstrap *bootstrap, const double *value);
/* only: NULL, or of which histories [history_count]. */
struct pair_figures pair_figures(const struct probe_replies *replies,
                                 const struct bootstrap *bootstrap, const double *value,
                                 const double *metric, const bool *only);
/* Whether all replies to a history have the metric. */
bool metric_known(const struct probe_replies *replies, const double *metric, int64_t history);
/* out [count]: a reply's value less its history's mean, over the deviation within the histories
 * that have the metric; NaN in the others. */
void within_standardised(const struct probe_replies *replies, const double *value,
                         const double *metric, double *out);
/* The mean over used histories [count], whose dialogues are given. */
struct figure history_mean(const struct bootstrap *bootstrap, const double *value,
                           const int64_t *dialogue, int64_t count);

#endif
