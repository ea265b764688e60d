/* One learner rank: policy, reference, critic, their optimizers, and the updates of PPO and SFT.
 * It knows how many learners there are but not how they talk: `exchange` does that. */
#ifndef REGARD_LEARN_LEARNER_H
#define REGARD_LEARN_LEARNER_H

#include "src/base/config.h"
#include "src/learn/advantage.h"
#include "src/learn/exchange.h"
#include "src/learn/optimizer.h"
#include "src/learn/reduce.h"
#include "src/model/buffer.h"
#include "src/model/critic.h"
#include "src/model/model.h"
#include "src/rollout/experience.h"

/* A history and a reply to learn from; all arrays the caller's. */
struct learn_turn {
    const int32_t *history, *reply;
    int64_t history_count, reply_count;
    const float *logp_old; /* [reply_count] behaviour's; PPO */
    float *logp_ref;       /* [reply_count] reference's; PPO with kl */
    double advantage, target;
};

/* This learner's part of a batch: microbatch i holds turns [begin[i], begin[i+1]). */
struct learn_batch {
    struct learn_turn *turns;
    int64_t turn_count;
    const int64_t *begin;          /* [microbatches of this learner + 1] */
    int64_t all_tokens, all_turns; /* of the whole batch, all learners */
};

struct learner {
    const struct config *config;
    struct learner_exchange exchange;
    struct queue *queue;
    struct model *policy, *reference; /* reference NULL: not needed; not owned */
    struct critic *critic;            /* NULL: not needed; owned */
    struct model_run *policy_run, *reference_run;
    struct optimizer *policy_optimizer, *critic_optimizer;
    struct gradient_tree *policy_tree, *critic_tree;
    struct model_watermark watermark; /* of the backward passes to come; step.c sets it */
    struct reward_settings reward;
    struct running_statistics statistics;
    struct buffer tokens; /* per-token arrays of a pass, see losses.c */
    struct host_buffer host_tokens;
};

struct step_metrics {
    double loss, gradient_norm, kl, clip_fraction, entropy;
    double ratio_deviation; /* largest |logp_new - logp_old| */
    bool skipped;           /* the gradient was not finite: nothing was changed */
};

status learner_create(const struct config *config, const struct learner_exchange *exchange,
                      struct model *policy, struct model *reference, bool with_critic,
                      struct learner **out);
void learner_free(struct learner *learner);
int64_t learner_microbatches(const struct learner *learner); /* of this learner */

/* What a learner is given at most: turns in one call, tokens of a turn's history and reply. */
struct learn_limits {
    int64_t turns, longest_history, longest_reply;
};
/* Those of `train`'s rollouts. */
struct learn_limits learn_limits_of(const struct config *config);
/* All memory of the passes at once: no update within the limits allocates any on the device. */
status learner_reserve(struct learner *learner, const struct learn_limits *limits);

enum model_keep learner_keep(const struct learner *learner); /* of a pass that learns */
float learner_temperature(const struct learner *learner);    /* of log-probabilities */
/* Log-probabilities of the replies under a model at rollout.temperature, into logp [reply]. */
status learner_logp(struct learner *learner, struct model_run *run, const struct learn_turn *turn,
                    int64_t count, float *const *logp);
/* V(H) of each turn's history. */
status learner_values(struct learner *learner, const struct learn_turn *turns, int64_t count,
                      double *values);

/* One optimizer step of the clipped surrogate over the whole batch (docs/reward.md, PPO). */
status ppo_policy_step(struct learner *learner, const struct learn_batch *batch, double lr,
                       struct step_metrics *out);
/* One optimizer step of the critic: mean over turns of (V - target)^2. */
status ppo_critic_step(struct learner *learner, const struct learn_batch *batch, double lr,
                       struct step_metrics *out);
/* One optimizer step of supervised fine-tuning: mean over tokens of -logp, smoothed by
 * sft.label_smoothing. */
status sft_step(struct learner *learner, const struct learn_batch *batch, double lr,
                struct step_metrics *out);
/* Sum of -logp over the replies at temperature 1, without learning. */
status sft_loss(struct learner *learner, const struct learn_turn *turns, int64_t count, double *sum,
                int64_t *tokens);

/* What a whole update did. */
struct update_metrics {
    struct step_metrics policy, critic; /* the last epoch's */
    double first_ratio_deviation;       /* of the first epoch: 0 when sampler and trainer agree */
    double reward, reward_scaled;       /* means: raw, and as the advantages have it */
    double terms[TERM_MAX], scaled[TERM_MAX]; /* a term of the reward settings each */
    double within_share[TERM_MAX], reward_within_share;
    double salient_share, special_mass, reply_length, end_rate, salient_empty, distinct_2;
    double token_entropy, kl_behaviour, explained_variance, advantage_deviation;
    int64_t turns, tokens;
};

/* One PPO update from this learner's slice of the batch, in dialogue order: experiences
 * [count] of dialogues [first, first + count) of a batch of `dialogues`.  step: updates done. */
status ppo_update(struct learner *learner, struct experience *const *experiences, int64_t count,
                  int64_t dialogues, int64_t step, struct update_metrics *out);
/* First dialogue of a microbatch (of learn.microbatches) in a batch of `dialogues`. */
int64_t microbatch_first(const struct config *config, int64_t dialogues, int64_t microbatch);

#endif
