/* Running deviations of the reward terms (reward.md, reward.scale): Welford over all turns seen,
 * of the values themselves (`running`) and of what is left of them within the candidates of one
 * dialogue and turn (`within`).  Part of the checkpoint; goes to actors with the weights. */
#ifndef REGARD_REWARD_RUNNING_H
#define REGARD_REWARD_RUNNING_H

#include "src/reward/terms.h"

struct running_statistic {
    double count, mean, m2;
};

struct running_statistics {
    struct running_statistic plain[TERM_COUNT];
    struct running_statistic within[TERM_COUNT];
};

struct running_item {
    struct turn_key key;
    struct reward_terms terms;
};

enum { RUNNING_SIZE = 2 * TERM_COUNT * 3 }; /* doubles of the flat form */

void running_statistic_add(struct running_statistic *s, double value);
/* Population deviation; 0 when empty. */
double running_statistic_deviation(const struct running_statistic *s);
/* Adds a batch in the order dialogue, turn, candidate, however the items lie.  A candidate that
 * is alone in its dialogue and turn has no value for `within` and is not counted there. */
status running_add(struct running_statistics *s, const struct running_item *items, int64_t count);
/* By `scale` (enum reward_scale): 1 for SCALE_NONE, below two values, or a deviation < 1e-8. */
void running_divisors(const struct running_statistics *s, int scale, double out[TERM_COUNT]);
/* Flat form: plain then within; a term's count, mean, M2.  Zeros are empty statistics. */
void running_save(const struct running_statistics *s, double out[RUNNING_SIZE]);
status running_load(struct running_statistics *s, const double in[RUNNING_SIZE]);

#endif
