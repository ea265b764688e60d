/* Running deviations of the reward terms (docs/reward.md, reward.scale): Welford over all turns
 * seen, of the values themselves (`running`) and of what is left of them within the candidates of
 * one dialogue and turn (`within`).  Part of the checkpoint; goes to actors with the weights. */
#ifndef REGARD_REWARD_RUNNING_H
#define REGARD_REWARD_RUNNING_H

#include "src/reward/settings.h"

struct running_statistic {
    double count, mean, m2;
};

struct running_statistics {
    struct running_statistic plain[TERM_MAX];
    struct running_statistic within[TERM_MAX];
    struct running_statistic reward; /* of returns.center; stays with the learners */
};

struct running_item {
    struct turn_key key;
    double value[TERM_MAX]; /* of the terms */
};

enum { RUNNING_MAX = 6 * TERM_MAX };
/* Doubles of the flat form, at most RUNNING_MAX. */
int64_t running_size(const struct reward_settings *settings);

void running_statistic_add(struct running_statistic *s, double value);
/* Adds a batch in the order dialogue, turn, candidate, however the items lie.  A candidate that
 * is alone in its dialogue and turn has no value for `within` and is not counted there. */
status running_add(const struct reward_settings *settings, struct running_statistics *s,
                   const struct running_item *items, int64_t count);
/* One a term, by reward.scale: 1 with `none`, below two values, or at a deviation < 1e-8. */
void running_divisors(const struct reward_settings *settings, const struct running_statistics *s,
                      double out[TERM_MAX]);
/* One term's: count, mean, M2 of plain, then of within.  Numbers that make no sense are refused. */
enum { RUNNING_TERM_SIZE = 6 };
void running_term_save(const struct running_statistics *s, int64_t term,
                       double out[RUNNING_TERM_SIZE]);
status running_term_load(const struct reward_settings *settings, struct running_statistics *s,
                         int64_t term, const double in[RUNNING_TERM_SIZE]);
/* count, mean and M2 of a statistic; numbers that make no sense are refused, by name. */
void running_statistic_save(const struct running_statistic *s, double out[3]);
status running_statistic_load(struct running_statistic *s, const char *name, const double in[3]);
/* Flat form [running_size]: of one term after the other.  Zeros are empty statistics. */
void running_save(const struct reward_settings *settings, const struct running_statistics *s,
                  double *out);
status running_load(const struct reward_settings *settings, struct running_statistics *s,
                    const double *in);

#endif
