/* All terms of one turn, and the reward that they add to (docs/reward.md, Terms). */
#ifndef REGARD_REWARD_TERMS_H
#define REGARD_REWARD_TERMS_H

#include "src/reward/settings.h"

/* Raw values, one a term of the settings; the rest of `value` is 0.  Given ones are there already
 * and stay.  S = 0 or V empty: all others 0; I empty: coverage 0 (the caller counts it as
 * salient_empty).  A value that is not finite is an error naming dialogue, turn, candidate and
 * term.
 */
status reward_terms_compute(const struct reward_settings *settings, const struct reward_turn *turn,
                            double value[TERM_MAX]);
/* delta(t) = min(delta0 + kappa (t-1), log|V|), t from 1; 0 with floor.form none or V empty. */
double reward_floor(const struct reward_settings *settings, int64_t turn, int64_t visible);
/* reward.overlong: what a reply of so many tokens loses, 0 up to where the last share of
 * rollout.max_new_tokens begins, then rising by the token to 1 at its end. */
double reward_overlong(const struct reward_settings *settings, int64_t reply_count);
/* R = alpha coverage + beta focus - gamma repHist - gamma_self repSelf and what else the settings
 * hold, each term divided by its divisor (divisors NULL: all 1), less reward_overlong.  With
 * control length, R = -S/64 alone. */
double reward_combine(const struct reward_settings *settings, const double value[TERM_MAX],
                      const double divisors[TERM_MAX], int64_t reply_count);
/* The same of tokens [begin, end) of a reply, whose terms these are: it loses what reward_overlong
 * rises by over them. */
double reward_of_span(const struct reward_settings *settings, const double value[TERM_MAX],
                      const double divisors[TERM_MAX], int64_t begin, int64_t end);

/* A reply's terms from those of its spans: `count` lists of TERM_MAX values, the first at `first`,
 * `stride` bytes apart.  Their sum, in order; in task reasoning the mean of what is computed of
 * every block. */
void reward_terms_merge(const struct reward_settings *settings, const void *first, size_t stride,
                        int64_t count, double value[TERM_MAX]);

#endif
