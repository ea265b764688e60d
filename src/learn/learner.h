/* One learner rank: policy, reference, critic, their optimizers, and what it asks its models
 * without learning.  It knows how many learners there are but not how they talk: `exchange` does
 * that. */
#ifndef REGARD_LEARN_LEARNER_H
#define REGARD_LEARN_LEARNER_H

#include "src/capture/statistics.h"
#include "src/learn/audit.h"
#include "src/learn/batch.h"
#include "src/learn/exchange.h"
#include "src/learn/optimizer.h"
#include "src/learn/reduce.h"
#include "src/learn/settings.h"
#include "src/learn/token_arrays.h"
#include "src/model/run.h"
#include "src/model/value_model.h"
#include "src/model/weights_watch.h"
#include "src/reward/running.h"

struct aligner;
struct learner {
    struct learn_settings settings;
    bool causal; /* the models' family */
    struct learner_exchange exchange;
    struct queue *queue;
    struct model *policy, *reference; /* reference NULL: not needed; not owned */
    struct value_model *critic;       /* NULL: not needed; owned */
    struct aligner *aligner;          /* of interaction; NULL: none; not owned */
    struct value_model *reward_model; /* not NULL: what is learned in a policy's place, whose trunk
                                       * `policy` is; not owned */
    struct model_run *policy_run, *reference_run;
    struct parameters *policy_parameters, *critic_parameters; /* of the models, what is trained */
    struct optimizer_share share;                             /* of every vector */
    struct optimizer *policy_optimizer, *critic_optimizer;
    struct gradient_tree *policy_tree, *critic_tree;
    /* NULL: nobody else reads them.  Called before values of the policy, the critic or the
     * reference or their moments change: when it returns they may. */
    void (*before_change)(void *context);
    void *change_context;
    bool last_step;                   /* of an update, by the policy */
    struct model_watermark watermark; /* of the backward passes to come; step.c sets it */
    struct running_statistics statistics;
    struct audit audit;
    const struct statistic_table *table; /* of its experience; of the policy's family unless set */
    struct token_arrays tokens;
    /* guard.replica_check: policy, critic and what stands still under adapters, from the end of a
     * step to the next one. */
    struct weights_watch watch;
    bool comparing; /* with the other learners', at each step of this update */
    int watched_policy, watched_critic, watched_base; /* places; -1: there is none */
    struct skips {
        int64_t total;  /* updates of the run in which a step was skipped */
        int64_t in_row; /* the last ones */
    } skips;
};

/* After an update, with whether a step of it was skipped. */
void learner_count_skip(struct learner *learner, bool skipped);
/* Whoever still reads what this learner is about to change is done with it. */
void learner_before_change(const struct learner *learner);
/* The hash of what is trained, as it is now. */
status learner_policy_hash(struct learner *learner, char text[17]);

/* Tokens that a pass of this batch computes; that pairs of a history and a reply, each by itself,
 * would have cost.  In a causal model the last token of a history is the first one's input. */
struct packed_batch;
int64_t learner_tokens_computed(const struct learner *learner);
int64_t learner_tokens_pairs(const struct learner *learner, const struct packed_batch *packed);
status learner_create(const struct learn_settings *settings,
                      const struct learner_exchange *exchange, struct model *policy,
                      struct model *reference, bool with_critic, struct learner **out);
/* A reward model alone: no policy's run, no critic. */
status learner_create_reward_model(const struct learn_settings *settings,
                                   const struct learner_exchange *exchange,
                                   struct value_model *reward_model, struct learner **out);
void learner_free(struct learner *learner);
int64_t learner_microbatches(const struct learner *learner); /* of this learner */
/* All memory of the passes at once: no update within the limits allocates any on the device. */
status learner_reserve(struct learner *learner, const struct learn_limits *limits);

enum model_keep learner_keep(const struct learner *learner); /* of a pass that learns */
/* Log-probabilities of the replies under a model at rollout.temperature, into logp [reply]. */
status learner_logp(struct learner *learner, struct model_run *run, const struct learn_turn *turn,
                    int64_t count, float *const *logp);
/* reference.every: the reference becomes the policy as it is after so many updates. */
status learner_move_reference(struct learner *learner, int64_t updates);
/* V(H) of each turn's history: the critic's, or the reward model's. */
status learner_values(struct learner *learner, const struct learn_turn *turns, int64_t count,
                      double *values);

#endif
