/* What learning is made with, by its keys.  Made at the edge from the configuration; settings.c
 * alone of this folder knows it. */
#ifndef REGARD_LEARN_SETTINGS_H
#define REGARD_LEARN_SETTINGS_H

#include "kernels/ops.h"
#include "src/base/choices.h"
#include "src/learn/preference.h"
#include "src/reward/settings.h"

/* Interaction distillation: rm.align. */
struct align_settings {
    double weight;
    enum alignment_form form;
    int64_t layers, seed;
    int control; /* enum align_control */
};

struct learn_settings {
    struct reward_settings reward;
    double temperature; /* of log-probabilities: rollout.temperature, 1 where that is greedy */
    /* advantage */
    int advantage, group_form, critic_target; /* enum advantage_kind, group_form, critic_target */
    double gae_lambda;
    bool whiten, group_filter;
    bool center;     /* rewards less their running mean, before returns */
    int credit_form; /* enum credit_form */
    int64_t seed;    /* of credit.form: random */
    /* PPO */
    int64_t epochs;
    double clip, clip_high;                   /* clip_high 0: as clip */
    int ppo_loss, ppo_ratio, ppo_form, kl_in; /* enum ppo_loss, ppo_ratio, ppo_form, kl_place */
    int64_t max_new_tokens;                   /* what ppo.loss: constant divides by */
    bool lag_truncated; /* ratios to the policy that the update began with, and truncated weights */
    double lag_cap;     /* of these */
    double entropy_coef, kl_coef;
    struct kl_bounds kl_bounds; /* of k3 in the loss */
    int64_t reference_every;    /* updates after which the reference becomes the policy; 0: never */
    /* rates and schedule of `train`: step updates of `updates` */
    double policy_lr, critic_lr, clip_norm;
    int64_t warmup, critic_warmup, updates;
    int schedule; /* enum schedule_kind */
    /* SFT */
    double label_smoothing;
    struct preference_settings preference; /* of reward models */
    struct align_settings align;
    /* audits */
    int64_t audit_every, audit_judge; /* updates, 0: none; the term that judges */
    /* passes */
    int64_t microbatches, reply_tokens, history_tokens;
    int64_t captured_layers; /* that statistics of heads are read of, unless of all: */
    int statistics;          /* what is asked of statistics_of */
    bool recompute;
    /* guard: updates, 0: never; 0: whatever they are */
    int64_t replica_check;
    double gradient_norm_max, reward_max;
    bool reencode; /* the policy reads what the critic reads: every span's own history */
};

/* What a learner is given at most: turns in one call, tokens of a turn's history and reply, cuts of
 * a history, spans of a reply. */
struct learn_limits {
    int64_t turns, longest_history, longest_reply, cuts;
    int64_t cut_tokens,
        summary_slots; /* history.summary: of the turns that a history's slots are of */
    int64_t spans;     /* 0: as 1 */
    int64_t together;  /* turns that go into one pass, whatever its bound (struct loss); 0: as 1 */
};

struct config;
struct learn_settings learn_settings_of(const struct config *config);
/* Those of `train`'s rollouts. */
struct learn_limits learn_limits_of(const struct config *config);

#endif
