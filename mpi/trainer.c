/* Opening and closing what a rank of `train` holds; see trainer.h. */
#include "mpi/trainer.h"

#include "mpi/setup.h"
#include "src/base/arena.h"

#include <stdlib.h>
#include <string.h>

static bool frozen_needed(const struct config *config)
{
    return config->scorer == SCORER_FROZEN;
}

static status actor_open(struct trainer *t)
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

static status learner_open(struct trainer *t)
{
    const struct config *config = t->config;
    TRY(run_model_open(config, t->queue, true, t->language, &t->policy));
    /* With kl.coef 0 too: every run logs how far it went. */
    TRY(run_model_open(config, t->queue, false, t->language, &t->reference));
    const struct learner_exchange exchange = exchange_of_learner(&t->exchange);
    TRY(learner_create(config, &exchange, t->policy, t->reference,
                       config->advantage != ADVANTAGE_GROUP, &t->learner));
    const struct inbox_rules rules = {.dialogues = config->rollout.dialogues,
                                      .lag = config->pipeline.lag,
                                      .turns = config->rollout.turns,
                                      .candidates = config->rollout.candidates,
                                      .vocabulary = t5_shape(t->policy)->vocabulary};
    t->inbox = inbox_create(t->world, &rules, t->folder.start);
    if (t->world->rank == 0) TRY(generator_create(t->policy, &t->evaluator));
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
    if (config->rollout.dialogues > t->data->count)
        FAIL(STATUS_INPUT, "rollout.dialogues is %lld but %s has %lld dialogues; lower it",
             (long long)config->rollout.dialogues, t->data->path, (long long)t->data->count);
    if (config->data.valid[0]) TRY(dataset_read(config->data.valid, DATASET_TRAIN, &t->valid));
    TRY(language_open(config, config->model.path, t->data, &t->language));
    if (!t->language->tokenizer)
        FAIL(STATUS_INPUT, "%s holds no tokenizer; set tokenizer.path",
             config->model.path[0] ? config->model.path : "the configuration");
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
    if (t->world->is_learner) TRY(learner_open(t));
    if (t->world->is_actor) TRY(actor_open(t));
    struct t5 *any = t->policy ? t->policy : t->actor_model;
    TRY(language_fits(t->language, t5_shape(any)->vocabulary));
    t->parameter_count = t5_parameters(any)->size;
    return NULL;
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
    const bool by_host = takes_part && !trainer_has_both_roles(t) && !t->exchange.weights;
    t->wire_count = 2 * RUNNING_SIZE + (by_host ? t->parameter_count : 0);
    TRY(op->host_allocate(t->queue, (size_t)t->wire_count * sizeof *t->wire, (void **)&t->wire));
    if (t->config->pipeline.lag == 0 || !(t->world->rank == 0 || trainer_has_both_roles(t)))
        return NULL;
    return op->allocate(t->queue, MEMORY_WEIGHTS, (size_t)t->parameter_count * sizeof(float),
                        (void **)&t->previous);
}

status trainer_close(struct trainer *t)
{
    /* The queue's memory goes before the queue. */
    status s = exchange_close(&t->exchange);
    run_folder_close(&t->folder);
    inbox_destroy(t->inbox);
    generator_destroy(t->evaluator);
    generator_destroy(t->rollout.policy);
    generator_destroy(t->rollout.scorer);
    generator_destroy(t->rollout.user);
    learner_free(t->learner);
    struct t5 *models[] = {t->policy, t->reference, t->actor_model, t->scorer_model, t->user_model};
    for (size_t i = 0; i < sizeof models / sizeof *models; i++)
        if (models[i]) t5_destroy(models[i]);
    language_close(t->language);
    if (t->data) dataset_free(t->data);
    if (t->valid) dataset_free(t->valid);
    if (t->previous) t->queue->op->release(t->queue, t->previous);
    if (t->wire) t->queue->op->host_release(t->queue, t->wire);
    if (t->queue) t->queue->op->destroy(t->queue);
    return s;
}

void trainer_print_roles(const struct trainer *t, FILE *out)
{
    const struct world *world = t->world;
    const int64_t parameters = t->parameter_count;
    const double mb = 4e-6 * (double)parameters;
    const bool critic = t->config->advantage != ADVANTAGE_GROUP;
    int tree = 1;
    for (int64_t m = t->config->learn.microbatches / world->learners; m > 1; m /= 2) tree++;
    const double learner =
        mb * ((critic ? 2 : 1) * (2.0 + 2.0 / world->learners + tree) + (t->reference ? 2 : 0));
    for (int r = 0; r < world->size; r++) {
        const bool learns = r < world->learners;
        const bool acts = !learns || world->learners == world->size;
        double memory = learns ? learner : 0;
        if (t->config->pipeline.lag > 0 && (r == 0 || world->learners == world->size))
            memory += mb; /* the weights before the last update */
        if (acts) memory += mb * (2 + (frozen_needed(t->config) ? 2 : 0));
        fprintf(out, "# rank %d: %s%s%s, about %.1f MB of weights and optimizer\n", r,
                learns ? "learner" : "", learns && acts ? " and " : "", acts ? "actor" : "",
                memory);
    }
    fprintf(out, "# parameters: %lld; updates: %lld of %lld dialogues x %lld candidates\n",
            (long long)parameters, (long long)t->config->train.updates,
            (long long)t->config->rollout.dialogues, (long long)t->config->rollout.candidates);
}
