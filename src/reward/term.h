/* One term of the reward: a number a reply (docs/architecture.md says what adding one touches).
 * What is computed here is a pure function of tokens, masks and statistics; what a source says of a
 * reply (src/source) is a term whose value is given. */
#ifndef REGARD_REWARD_TERM_H
#define REGARD_REWARD_TERM_H

#include "src/base/status.h"
#include "src/reward/order.h"

enum { TERM_MAX = 24 }; /* terms of one run; arrays over terms have this size */

/* What terms are made of: one reply with its history and its attention's summary. */
struct reward_turn {
    struct turn_key key;          /* named in errors */
    const float *entropy_floored; /* [reply_count] nats, after the floor */
    const float *salient_mass;    /* [reply_count] of the row that coverage uses */
    int64_t visible, salient;     /* |V|, |I| */
    const int32_t *reply;         /* [reply_count], S: the sampled end of sequence included */
    int64_t reply_count;
    const int32_t *history; /* [history_count] H(t), special tokens included */
    int64_t history_count;
};

struct reward_settings;

struct term {
    const char *name; /* in metrics, samples and checkpoints: snake_case */
    /* The raw value of a turn with S > 0 and |V| > 0; NULL: it is given. */
    status (*compute)(const struct reward_settings *settings, const struct reward_turn *turn,
                      double *value);
};

/* Mean of values [count], added in float64 in ascending order. */
double term_mean(const float *values, int64_t count);

#endif
