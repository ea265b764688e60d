/* The losses of reward models over two scores each (docs/reward.md, Reward models), and what
 * held-out pairs say of one. */
#ifndef REGARD_LEARN_PREFERENCE_H
#define REGARD_LEARN_PREFERENCE_H

#include <stdbool.h>
#include <stdint.h>

struct preference_settings {
    double margin, center, smoothing; /* rm.margin, rm.center, rm.smoothing */
};

/* The loss of a pair of scores, right one first: chosen and rejected, or the true reply and
 * another; derivatives by each. */
struct preference_loss {
    double loss, by_right, by_wrong;
};
/* With d = right - wrong - margin: -(1 - smoothing) log sigmoid(d) - smoothing log sigmoid(-d)
 * + center ((right + wrong) / 2)^2. */
struct preference_loss preference_bradley_terry(const struct preference_settings *settings,
                                                double right, double wrong);
/* Half of the logistic losses of the two, each by itself: a pair's mean.  smoothing as above;
 * margin and center do not count. */
struct preference_loss preference_logistic(const struct preference_settings *settings, double right,
                                           double wrong);

/* Of a decision whose right side is positive: 1, or 0, or, where it is not decided, 1/2. */
double preference_decided(double x);

/* A held-out pair: its two scores and the lengths of its two replies in tokens, right one first. */
struct preference_scores {
    double right, wrong;
    int64_t right_tokens, wrong_tokens;
};

enum { PREFERENCE_BINS = 10 };
struct preference_bin {
    int64_t count;
    double confidence, accuracy; /* means; 0 of none */
};
struct preference_metrics {
    int64_t pairs;
    double accuracy; /* of decisions; one at 1/2 counts half */
    double nll;      /* mean of -log of what the right decision was given, without margin, ... */
    double ece;      /* mean over decisions of the distance of a bin's confidence and accuracy */
    struct preference_bin bins[PREFERENCE_BINS]; /* of confidence from 1/2 to 1, as wide each */
    double length_correlation; /* Pearson's, of score and tokens over all replies; 0 where one is
                                * constant */
    double longer_accuracy;    /* of "the longer one"; as long counts half */
    double score, score_deviation; /* over all replies */
};
/* apart: two decisions a pair, whether each of its replies is the right one, by the sigmoid of its
 * score; else one, which of the two is, by the sigmoid of their difference. */
struct preference_metrics preference_measure(const struct preference_scores *pairs, int64_t count,
                                             bool apart);

#endif
