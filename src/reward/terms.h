/* The reward terms of one turn from its attention summary and tokens (reward.md, Terms). */
#ifndef REGARD_REWARD_TERMS_H
#define REGARD_REWARD_TERMS_H

#include "src/base/config.h"
#include "src/reward/order.h"

enum reward_term { TERM_COVERAGE, TERM_FOCUS, TERM_REP_HIST, TERM_REP_SELF, TERM_COUNT };

struct reward_terms {
    double coverage, focus, rep_hist, rep_self;
};

/* What the terms are made of. */
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

extern const char *const reward_term_name[TERM_COUNT]; /* "coverage", "focus", ... */
double reward_terms_get(const struct reward_terms *terms, enum reward_term term);

/* Raw terms.  S = 0 or V empty: all 0; I empty: coverage 0 (the caller counts it as
 * salient_empty).  A non-finite term is an error naming dialogue, turn, candidate and term. */
status reward_terms_compute(const struct config *config, const struct reward_turn *turn,
                            struct reward_terms *out);
/* delta(t) = min(delta0 + kappa (t-1), log|V|), t from 1; 0 with floor.form none or V empty. */
double reward_floor(const struct config *config, int64_t turn, int64_t visible);
/* R = alpha coverage + beta focus - gamma repHist - gamma_self repSelf, each term divided by
 * its divisor; divisors NULL: all 1.  The weights are the config's, whose defaults depend on the
 * task (gamma is 0 in single_turn).  With control length, R = -S/64 alone. */
double reward_combine(const struct config *config, const struct reward_terms *terms,
                      const double divisors[TERM_COUNT], int64_t reply_count);

#endif
