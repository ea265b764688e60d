/* The reward beside a judge, on the replies that the policy learns from: does it still stand for
 * what it is to stand for?  (docs/reward.md, Audit.)  Every learner counts the whole batch alike,
 * in dialogue order, so that ranks change no bit. */
#ifndef REGARD_LEARN_AUDIT_H
#define REGARD_LEARN_AUDIT_H

#include "src/learn/batch_item.h"

/* Below so many dialogues there is no error, and so nothing is concluded. */
enum { AUDIT_DIALOGUES = 5 };

enum audit_part {
    AUDIT_REWARD,      /* mean over replies */
    AUDIT_JUDGE,       /* mean over replies */
    AUDIT_CORRELATION, /* of their ranks within the replies to one turn of a dialogue, mean over
                        * the turns whose replies the judge tells apart */
    AUDIT_PARTS
};

/* error: standard, over dialogues.  NaN: there is none. */
struct audit_figure {
    double value, error;
};

/* Of a ratio of sums over dialogues, sum of s over sum of w: s is kept less shift times w, the
 * first dialogue's ratio, so that large values with small differences lose nothing. */
struct audit_sums {
    double shift, dialogues, s, w, ss, sw, ww;
};
void audit_sums_add(struct audit_sums *sums, double s, double w); /* w 0: not counted */
struct audit_figure audit_sums_figure(const struct audit_sums *sums);

/* What is remembered between updates, doubles all through: so it stands in checkpoints. */
struct audit {
    struct audit_sums window[AUDIT_PARTS]; /* since the last audit */
    struct audit_figure first[AUDIT_PARTS];
    double begun, audits;      /* whether divisors are there; audits that were made */
    double below;              /* audits in a row whose correlation lies below 0 by two errors */
    double divisors[TERM_MAX]; /* of the first update: the reward is in their units from then on */
};
enum { AUDIT_DOUBLES = sizeof(struct audit) / sizeof(double) };

enum audit_alarm {
    AUDIT_FINE,
    AUDIT_PARTED, /* reward above the first audit's and judge below by 2 errors of the difference */
    AUDIT_AGAINST /* the correlation is below 0 by 2 of its errors, for the second audit in a row */
};

struct audit_report {
    bool due; /* else the rest is not set */
    bool first;
    int64_t dialogues;
    struct audit_figure part[AUDIT_PARTS];
    struct audit_figure change[AUDIT_PARTS]; /* from the first audit */
    enum audit_alarm alarm;
};

/* Adds a batch; a reply's reward is the sum of its spans' batch_item_reward; judge: the term.  due:
 * then the window's report, and the next window begins. */
status audit_add(struct audit *audit, const struct reward_settings *reward, int64_t judge,
                 const struct batch_item *items, int64_t count, const double divisors[TERM_MAX],
                 bool due, struct audit_report *out);

#endif
