/* Opening and closing what a rank of `train` holds; see trainer.h. */
#include "mpi/trainer.h"

#include "mpi/plan.h"
#include "mpi/setup.h"
#include "src/base/log.h"
#include "src/base/memory.h"
#include "src/task/overlong.h"

#include <stdlib.h>
#include <string.h>

static bool frozen_needed(const struct config *config)
{
    return config->scorer == SCORER_FROZEN;
}

/* Models and what works on them, here and on the counting queue of a plan. */
static status actor_models(struct trainer *t)
{
    const struct config *config = t->config;
    TRY(run_model_open(config, t->queue, false, t->language, &t->actor_model));
    t->rollout =
        (struct rollout){.config = config, .history = &t->language->history, .data = t->data};
    TRY(generator_create(t->actor_model, &t->rollout.policy));
    if (frozen_needed(config)) {
        TRY(run_model_open(config, t->queue, false, t->language, &t->scorer_model));
        TRY(generator_create(t->scorer_model, &t->rollout.scorer));
    }
    if (config->rollout.user == USER_MODEL) {
        if (!config->model.user_path[0])
            FAIL(STATUS_INPUT, "rollout.user: model needs model.user_path (see sft --role user)");
        TRY(model_open(config->model.user_path, t->queue, false, &t->user_model));
        TRY(generator_create(t->user_model, &t->rollout.user));
    }
    return NULL;
}

static status learner_models(struct trainer *t, const struct learner_exchange *exchange)
{
    const struct config *config = t->config;
    TRY(run_model_open(config, t->queue, true, t->language, &t->policy));
    /* With kl.coef 0 too: every run logs how far it went. */
    TRY(run_model_open(config, t->queue, false, t->language, &t->reference));
    TRY(learner_create(config, exchange, t->policy, t->reference,
                       config->advantage != ADVANTAGE_GROUP, &t->learner));
    return t->world->rank == 0 ? generator_create(t->policy, &t->evaluator) : NULL;
}

static status models_open(struct trainer *t, const struct learner_exchange *exchange)
{
    if (t->world->is_learner) TRY(learner_models(t, exchange));
    if (t->world->is_actor) TRY(actor_models(t));
    t->parameter_count = model_parameters(t->policy ? t->policy : t->actor_model)->size;
    if (t->config->pipeline.lag == 0 || !(t->world->rank == 0 || trainer_has_both_roles(t)))
        return NULL;
    return t->queue->op->allocate(t->queue, MEMORY_WEIGHTS,
                                  (size_t)t->parameter_count * sizeof(float),
                                  (void **)&t->previous);
}

/* Room for the largest update and the largest batch of replies. */
static status models_reserve(struct trainer *t)
{
    const struct config *config = t->config;
    const struct learn_limits limits = learn_limits_of(config);
    if (t->learner) TRY(learner_reserve(t->learner, &limits));
    if (t->evaluator && config->eval.every > 0 && config->data.valid[0]) {
        TRY(generator_reserve(t->evaluator, config, 1));
        TRY(generator_reserve_scoring(t->evaluator, config, 1));
    }
    /* Dialogues that part after the first turn have a history a candidate. */
    const int64_t share =
        config->rollout.continue_with == CONTINUE_EACH ? 1 : config->rollout.candidates;
    if (t->rollout.policy) TRY(generator_reserve(t->rollout.policy, config, share));
    if (t->rollout.scorer) TRY(generator_reserve_scoring(t->rollout.scorer, config, share));
    if (!t->rollout.user) return NULL;
    struct config user = *config; /* as rollout/dialogues.c asks it: one reply at a time */
    user.attention.layers = 1;
    user.infer.batch = 1;
    return generator_reserve(t->rollout.user, &user, 1);
}

static void models_close(struct trainer *t)
{
    if (t->previous) t->queue->op->release(t->queue, t->previous);
    generator_destroy(t->evaluator);
    generator_destroy(t->rollout.policy);
    generator_destroy(t->rollout.scorer);
    generator_destroy(t->rollout.user);
    learner_free(t->learner);
    struct model *models[] = {t->policy, t->reference, t->actor_model, t->scorer_model,
                              t->user_model};
    for (size_t i = 0; i < sizeof models / sizeof *models; i++)
        if (models[i]) model_destroy(models[i]);
}

/* What a rank will hold, on a counting queue: a plan_function. */
static status models_plan(void *context, const struct world *world, struct queue *plan)
{
    const struct trainer *t = context;
    struct world of = *world;
    struct trainer planned = {.config = t->config,
                              .reward = t->reward,
                              .world = &of,
                              .queue = plan,
                              .language = t->language};
    const struct learner_exchange exchange = {.rank = of.learner, .count = of.learners};
    status s = models_open(&planned, &exchange);
    if (!s) s = models_reserve(&planned);
    models_close(&planned);
    return s;
}

static void inbox_open(struct trainer *t)
{
    const struct config *config = t->config;
    const struct inbox_rules rules = {.dialogues = config->rollout.dialogues,
                                      .lag = config->pipeline.lag,
                                      .turns = config->rollout.turns,
                                      .candidates = config->rollout.candidates,
                                      .vocabulary = model_shape(t->policy)->vocabulary};
    t->inbox = inbox_create(t->world, &rules, t->folder.start);
}

/* A replayed user says what the data says; another says only the first message of it. */
static status overlong_drop(struct trainer *t)
{
    const struct config *config = t->config;
    const int64_t turns = config->rollout.user == USER_REPLAY ? config->rollout.turns : 1;
    struct overlong overlong;
    TRY(dataset_drop_overlong(&t->language->history, t->data, turns, &overlong));
    if (overlong.dialogues && t->world->rank == 0)
        log_line(
            LOG_WARNING,
            "%s: %lld dialogues are left out, the first in line %lld: a message of the user is "
            "longer than history.max_tokens (%lld)",
            t->data->path, (long long)overlong.dialogues, (long long)overlong.first_line,
            (long long)config->history.max_tokens);
    return NULL;
}

static status data_open(struct trainer *t)
{
    const struct config *config = t->config;
    TRY(dataset_read(config->data.train, DATASET_TRAIN, &t->data));
    for (int64_t d = 0; d < t->data->count; d++)
        if (t->data->dialogues[d].has_tokens)
            FAIL(STATUS_INPUT, "%s:%lld: train needs dialogues, this is a token line",
                 t->data->path, (long long)t->data->dialogues[d].line);
    if (config->data.valid[0]) TRY(dataset_read(config->data.valid, DATASET_TRAIN, &t->valid));
    TRY(language_open(config, config->model.path, t->data, &t->language));
    if (!t->language->tokenizer)
        FAIL(STATUS_INPUT, "%s holds no tokenizer; set tokenizer.path",
             config->model.path[0] ? config->model.path : "the configuration");
    TRY(overlong_drop(t));
    if (config->rollout.dialogues > t->data->count)
        FAIL(STATUS_INPUT, "rollout.dialogues is %lld but %s has %lld dialogues; lower it",
             (long long)config->rollout.dialogues, t->data->path, (long long)t->data->count);
    return NULL;
}

status trainer_open(struct trainer *t)
{
    const struct config *config = t->config;
    TRY(queue_open(config, t->world->local_rank, &t->queue));
    exchange_open(&t->exchange, t->world, t->queue);
    TRY(data_open(t));
    bool known = false;
    for (int k = 0; k < EVAL_COUNT; k++)
        known = known || !strcmp(evaluation_name[k], config->guard.metric);
    if (!known)
        FAIL(STATUS_INPUT, "guard.metric is \"%s\"; it is a row of eval's table, like ROUGE-L",
             config->guard.metric);
    TRY(plan_reserve(t->queue, t->world, models_plan, t));
    const struct learner_exchange exchange = exchange_of_learner(&t->exchange);
    TRY(models_open(t, &exchange));
    if (t->world->is_learner) inbox_open(t);
    if (plan_wanted(t->queue)) TRY(models_reserve(t));
    plan_log_use(t->queue, "update", t->folder.start);
    struct model *any = t->policy ? t->policy : t->actor_model;
    return language_fits(t->language, model_shape(any)->vocabulary);
}

bool trainer_has_both_roles(const struct trainer *t)
{
    return t->world->is_learner && t->world->is_actor;
}

status trainer_connect(struct trainer *t)
{
    const struct ops *op = t->queue->op;
    TRY(exchange_connect(&t->exchange, t->parameter_count));
    const bool takes_part = t->world->is_actor || t->world->rank == 0;
    const bool by_host =
        takes_part && !trainer_has_both_roles(t) && !exchange_takes_weights(&t->exchange);
    t->wire_count = 2 * running_size(&t->reward) + (by_host ? t->parameter_count : 0);
    return op->host_allocate(t->queue, (size_t)t->wire_count * sizeof *t->wire, (void **)&t->wire);
}

status trainer_close(struct trainer *t)
{
    /* The queue's memory goes before the queue. */
    status s = exchange_close(&t->exchange);
    run_folder_close(&t->folder);
    inbox_destroy(t->inbox);
    models_close(t);
    language_close(t->language);
    if (t->data) dataset_free(t->data);
    if (t->valid) dataset_free(t->valid);
    if (t->wire) t->queue->op->host_release(t->queue, t->wire);
    if (t->queue) t->queue->op->destroy(t->queue);
    return s;
}

status trainer_print_roles(struct trainer *t, FILE *out)
{
    const struct world *world = t->world;
    for (int r = 0; r < world->size; r++) {
        const bool learns = r < world->learners;
        const bool acts = !learns || world->learners == world->size;
        fprintf(out, "# rank %d: %s%s%s\n", r, learns ? "learner" : "",
                learns && acts ? " and " : "", acts ? "actor" : "");
    }
    TRY(plan_print(t->queue, world, models_plan, t, out));
    fprintf(out, "# parameters: %lld; updates: %lld of %lld dialogues x %lld candidates\n",
            (long long)t->parameter_count, (long long)t->config->train.updates,
            (long long)t->config->rollout.dialogues, (long long)t->config->rollout.candidates);
    return NULL;
}
