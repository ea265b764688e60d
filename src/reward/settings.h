/* What the reward is made with: the terms with their weights, and the keys that reward, returns
 * and running statistics read.  Made at the edge from the configuration; settings.c alone of this
 * folder knows it. */
#ifndef REGARD_REWARD_SETTINGS_H
#define REGARD_REWARD_SETTINGS_H

#include "src/base/choices.h"
#include "src/reward/kl.h"
#include "src/reward/term.h"

enum { TURN_WEIGHTS_MAX = 64 };

/* R = sum over terms of weight * value / divisor, in this order. */
struct weighted_term {
    const struct term *term;
    double weight; /* with its sign */
    int source;    /* enum reward_source whose column it is */
};

struct reward_settings {
    struct weighted_term terms[TERM_MAX];
    int64_t term_count;
    bool length_only; /* control: length */
    double overlong;  /* reward.overlong, of replies of at most max_new_tokens */
    int64_t max_new_tokens;
    int scale; /* enum reward_scale */
    int coverage_form, focus_form;
    int64_t repetition_n;
    int floor_form; /* of the entropy floor: enum floor_form */
    double floor_delta0, floor_kappa;
    bool single_turn, continue_best;
    double discount;
    double lambda[TURN_WEIGHTS_MAX]; /* of turns; the last goes on */
    int64_t lambda_count;            /* 0: all 1 */
    int64_t block;   /* task: reasoning: tokens of a block, which has terms of its own; else 0 */
    bool block_mean; /* cot.return: mean */
    double lambda_final;                   /* of the answer's block */
    double depth_lambda[TURN_WEIGHTS_MAX]; /* of other blocks, by depth; the last goes on */
    int64_t depth_count;                   /* 0: blocks have no depth */
    double kl_coef;                        /* of kl.in: reward */
    int kl_estimator;
    struct kl_bounds kl_bounds; /* of that estimator */
};

struct config;
/* The settings of a configuration: the columns of reward.sources.  Those of `attention` are the
 * terms of this folder; every other source has one given term. */
struct reward_settings reward_settings_of(const struct config *config);
/* One more term behind those that are there.  More than TERM_MAX are an internal error. */
status reward_settings_add(struct reward_settings *settings, const struct term *term,
                           double weight);
/* Of term t, 0 <= t < term_count. */
const char *reward_term_name(const struct reward_settings *settings, int64_t t);
/* Whether its value is not computed here but given, by a source (src/source). */
bool reward_term_given(const struct reward_settings *settings, int64_t t);

#endif
