/* Opening and closing what a rank of `train` holds; see trainer.h. */
#include "mpi/trainer.h"

#include "mpi/evaluators.h"
#include "mpi/host_memory.h"
#include "mpi/plan.h"
#include "mpi/reward_source.h"
#include "mpi/setup.h"
#include "src/base/log.h"
#include "src/base/memory.h"
#include "src/task/mask.h"
#include "src/task/overlong.h"

#include <stdlib.h>
#include <string.h>

static bool evaluates(const struct config *config)
{
    return config->eval.every > 0 && config->data.valid[0];
}

static bool frozen_needed(const struct config *config)
{
    return config->scorer == SCORER_FROZEN;
}

/* What is trained or samples: a model, or adapters on the rank's base. */
static status policy_open(struct trainer *t, bool with_gradients, struct model **out)
{
    const struct config *config = t->run.config;
    if (!run_has_adapters(config))
        return run_model_open(config, t->run.queue, with_gradients, t->run.language, out);
    if (!t->base)
        TRY(run_model_open(config, t->run.queue, with_gradients, t->run.language, &t->base));
    return run_adapted_open(config, t->base, config->model.path, with_gradients, out);
}

/* What KL is measured to, and whose attention scorer: frozen reads.  Where new adapters are trained
 * it is their base. */
static status reference_open(struct trainer *t, struct model **out)
{
    const struct config *config = t->run.config;
    const char *path = config->model.reference_path;
    if (path[0]) return model_open_merged(path, t->run.queue, false, out);
    /* One that follows the policy has adapters of its own: they begin as nothing. */
    const bool moves = config->reference.every > 0;
    if (!run_has_adapters(config) || config->adapter.path[0] || moves)
        return policy_open(t, false, out);
    *out = t->base;
    return NULL;
}

/* Its log-probabilities are compared with the policy's, token by token. */
static status reference_fits(const struct trainer *t)
{
    const struct model *own = t->policy ? t->policy : t->actor_model;
    const struct model *reference = t->reference ? t->reference : t->scorer_model;
    if (!own || !reference) return NULL;
    const int64_t mine = model_shape(own)->vocabulary, its = model_shape(reference)->vocabulary;
    if (mine != its)
        FAIL(STATUS_INPUT, "model.reference_path: %s has %lld ids, the policy %lld",
             t->run.config->model.reference_path, (long long)its, (long long)mine);
    return NULL;
}

static const char *reference_name(const struct config *config)
{
    return config->model.reference_path[0] ? config->model.reference_path
           : config->model.path[0]         ? config->model.path
                                           : "the model of random weights that the run began with";
}

static const char *reference_source(const struct config *config)
{
    return config->model.reference_path[0] ? " (model.reference_path)"
           : config->model.path[0]         ? ", which the run began with (model.path)"
                                           : "";
}

static status actor_watch(struct trainer *t)
{
    const struct parameters *policy = model_trained(t->actor_model);
    if (t->run.config->guard.replica_check == 0) return NULL;
    TRY(weights_watch_open(t->run.queue, true, &t->watch));
    TRY(matrices_watch_open(t->actor_model, &t->policy_matrices));
    weights_watch_add(&t->watch, "policy", policy->values, policy->size);
    if (!model_base(t->actor_model)) return NULL;
    const struct parameters *base = model_parameters(t->base);
    weights_watch_add(&t->watch, "adapters' base", base->values, base->size);
    return matrices_watch_open(t->base, &t->base_matrices);
}

/* Models and what works on them, here and on the counting queue of a plan. */
static status actor_models(struct trainer *t)
{
    const struct config *config = t->run.config;
    TRY(policy_open(t, false, &t->actor_model));
    TRY(actor_watch(t));
    t->rollout = (struct rollout){.settings = &t->settings,
                                  .user_settings = &t->user_settings,
                                  .history = &t->run.language->history,
                                  .data = t->run.data};
    TRY(generator_create(
        t->actor_model,
        statistics_of(model_shape(t->actor_model), rollout_statistics(&t->settings)),
        &t->rollout.policy));
    if (frozen_needed(config)) {
        TRY(reference_open(t, &t->scorer_model));
        TRY(generator_create(
            t->scorer_model,
            statistics_of(model_shape(t->scorer_model), rollout_statistics(&t->settings)),
            &t->rollout.scorer));
    }
    if (config->rollout.user == USER_MODEL) {
        if (!config->model.user_path[0])
            FAIL(STATUS_INPUT, "rollout.user: model needs model.user_path (see sft --role user)");
        TRY(model_open(config->model.user_path, t->run.queue, false, &t->user_model));
        TRY(language_ends(t->run.language, t->user_model));
        TRY(generator_create(t->user_model, statistics_of(model_shape(t->user_model), false),
                             &t->rollout.user));
    }
    return NULL;
}

static status learner_models(struct trainer *t, const struct learner_exchange *exchange)
{
    const struct config *config = t->run.config;
    TRY(policy_open(t, true, &t->policy));
    /* With kl.coef 0 too: every run logs how far it went. */
    TRY(reference_open(t, &t->reference));
    const struct learn_settings settings = learn_settings_of(config);
    TRY(learner_create(&settings, exchange, t->policy, t->reference,
                       config->advantage != ADVANTAGE_GROUP, &t->run.learner));
    if (t->run.world->rank != 0) return NULL;
    if (evaluates(config)) TRY(evaluators_open(config, t->run.queue, &t->evaluators));
    return generator_create(t->policy,
                            statistics_of(model_shape(t->policy), rollout_statistics(&t->settings)),
                            &t->evaluators.generator);
}

/* Sources are asked where replies are made: by actors, and by rank 0 for its evaluations. */
static bool asks_sources(const struct world *world)
{
    return world->roles.is_actor || world->rank == 0;
}

static status models_open(struct trainer *t, const struct learner_exchange *exchange)
{
    if (t->run.world->roles.is_learner) TRY(learner_models(t, exchange));
    if (t->run.world->roles.is_actor) TRY(actor_models(t));
    if (asks_sources(t->run.world))
        TRY(reward_source_open(t->run.config, t->run.queue, t->run.language, &t->reward_reader));
    TRY(reference_fits(t));
    const struct model_shape *shape = model_shape(t->policy ? t->policy : t->actor_model);
    const struct tokenizer *tokenizer = t->run.language->tokenizer;
    TRY(rollout_settings_fit(&t->settings, t->run.config, shape, tokenizer));
    TRY(evaluate_settings_fit(&t->evaluation, t->run.config, shape, tokenizer));
    t->run.parameter_count = model_trained(t->policy ? t->policy : t->actor_model)->size;
    t->run.frozen_count = t->base ? model_parameters(t->base)->size : 0;
    if (t->run.config->pipeline.lag == 0 ||
        !(t->run.world->rank == 0 || roles_both(&t->run.world->roles)))
        return NULL;
    return past_weights_open(t->run.queue, t->run.parameter_count, t->run.config->pipeline.lag,
                             &t->past);
}

/* Room for the largest update and the largest batch of replies. */
static status models_reserve(struct trainer *t)
{
    const struct config *config = t->run.config;
    const struct learn_limits limits = learn_limits_of(config);
    if (t->run.learner) TRY(learner_reserve(t->run.learner, &limits));
    const struct evaluators *by = &t->evaluators;
    if (by->generator && evaluates(config)) {
        TRY(generator_reserve(by->generator, &t->evaluation.sampling, 1));
        TRY(generator_reserve_scoring(by->generator, &t->evaluation.scoring, 1));
        TRY(evaluators_reserve(by));
    }
    /* Dialogues that part after the first turn have a history a candidate. */
    const struct rollout_settings *settings = &t->settings;
    const int64_t share = settings->continue_best ? settings->candidates : 1;
    if (t->rollout.policy) TRY(generator_reserve(t->rollout.policy, settings, share));
    if (t->rollout.scorer) TRY(generator_reserve_scoring(t->rollout.scorer, settings, share));
    if (t->rollout.policy && !t->rollout.scorer && settings->cot.block)
        TRY(generator_reserve_scoring(t->rollout.policy, settings, share));
    if (t->reward_reader)
        TRY(reward_source_reserve(t->reward_reader, config, by->generator && evaluates(config)));
    return t->rollout.user ? generator_reserve(t->rollout.user, &t->user_settings, 1) : NULL;
}

static void models_close(struct trainer *t)
{
    past_weights_close(&t->past);
    weights_watch_close(&t->watch);
    matrices_watch_close(t->policy_matrices);
    matrices_watch_close(t->base_matrices);
    generator_destroy(t->evaluators.generator);
    evaluation_first_free(&t->first);
    evaluators_close(&t->evaluators);
    reward_reader_destroy(t->reward_reader);
    generator_destroy(t->rollout.policy);
    generator_destroy(t->rollout.scorer);
    generator_destroy(t->rollout.user);
    learner_free(t->run.learner);
    struct model *models[] = {t->policy, t->reference, t->actor_model, t->scorer_model,
                              t->user_model};
    for (size_t i = 0; i < sizeof models / sizeof *models; i++)
        if (models[i] && models[i] != t->base) model_destroy(models[i]);
    if (t->base) model_destroy(t->base);
}

static status models_fit(const struct trainer *t)
{
    const struct model *any = t->policy ? t->policy : t->actor_model;
    struct config defaults;
    config_defaults(&defaults);
    /* A run that began before this was refused goes on with it. */
    if (!t->run.folder.checkpoint[0] && model_shape_is_causal(model_shape(any)) &&
        t->run.config->cot.self_weight != defaults.cot.self_weight)
        FAIL(STATUS_INPUT,
             "cot.self_weight does nothing with a decoder-only model, whose attention is over "
             "question and earlier blocks at once; leave it out");
    const int64_t history = t->run.config->history.max_tokens;
    const int64_t reply = t->run.config->rollout.max_new_tokens;
    const int64_t max = model_shape_sequence_max(model_shape(any));
    if (history + reply - 1 > max)
        FAIL(STATUS_INPUT,
             "history.max_tokens %lld and rollout.max_new_tokens %lld are more than the %lld "
             "tokens of the model's longest sequence; lower one",
             (long long)history, (long long)reply, (long long)max);
    TRY(language_fits(t->run.language, model_shape(any)->vocabulary));
    run_model_warn(t->run.config, t->run.world, any);
    return NULL;
}

status trainer_plan(void *context, const struct world *world, struct queue *plan)
{
    struct trainer *t = context;
    struct world of = *world;
    struct trainer planned = {.run = {.config = t->run.config,
                                      .world = &of,
                                      .queue = plan,
                                      .data = t->run.data,
                                      .language = t->run.language},
                              .settings = t->settings,
                              .user_settings = t->user_settings,
                              .evaluation = t->evaluation};
    const struct learner_exchange exchange = {.rank = of.roles.learner, .count = of.roles.learners};
    memcpy(planned.run.folder.checkpoint, t->run.folder.checkpoint,
           sizeof planned.run.folder.checkpoint);
    status s = models_open(&planned, &exchange);
    if (!s) s = models_fit(&planned);
    if (!s) s = models_reserve(&planned);
    if (!s) t->run.parameter_count = planned.run.parameter_count;
    if (!s) t->run.frozen_count = planned.run.frozen_count;
    if (!s) run_plan_snapshot(&t->run, planned.run.learner, t->run.config->pipeline.lag);
    models_close(&planned);
    return s;
}

static void inbox_open(struct trainer *t)
{
    const struct config *config = t->run.config;
    const struct statistic_table *table =
        statistics_of(model_shape(t->policy), rollout_statistics(&t->settings));
    const struct statistic_sizes sizes =
        statistics_sizes(table, model_shape(t->policy), t->settings.layers, 0);
    const struct inbox_rules rules = {.dialogues = config->rollout.dialogues,
                                      .lag = config->pipeline.lag,
                                      .turns = config->rollout.turns,
                                      .candidates = config->rollout.candidates,
                                      .vocabulary = model_shape(t->policy)->vocabulary,
                                      .format = {.statistics = table,
                                                 .reward = &t->settings.reward,
                                                 .layers = sizes.layers,
                                                 .heads = sizes.heads,
                                                 .interruption = t->settings.interruption}};
    t->inbox = inbox_create(t->run.world, &rules, t->run.folder.start);
}

/* A replayed user says what the data says; another says only the first message of it. */
static status overlong_drop(struct run *run)
{
    const struct config *config = run->config;
    const int64_t turns = config->rollout.user == USER_REPLAY ? config->rollout.turns : 1;
    struct overlong overlong;
    TRY(dataset_drop_overlong(&run->language->history, run->data, turns, &overlong));
    if (overlong.dialogues && run->world->rank == 0)
        log_line(
            LOG_WARNING,
            "%s: %lld dialogues are left out, the first in line %lld: a message of the user is "
            "longer than history.max_tokens (%lld)",
            run->data->path, (long long)overlong.dialogues, (long long)overlong.first_line,
            (long long)config->history.max_tokens);
    const bool warn = run->world->rank == 0;
    TRY(reward_source_drop_overlong(config, run->data, turns, warn));
    if (!run->valid || config->eval.every == 0) return NULL;
    return reward_source_drop_overlong(config, run->valid, INT64_MAX, warn);
}

status trainer_check_data(struct run *run)
{
    const struct config *config = run->config;
    for (int64_t d = 0; d < run->data->count; d++)
        if (run->data->dialogues[d].has_tokens)
            FAIL(STATUS_INPUT, "%s:%lld: train needs dialogues, this is a token line",
                 run->data->path, (long long)run->data->dialogues[d].line);
    if (!run->language->tokenizer)
        FAIL(STATUS_INPUT, "%s holds no tokenizer; set tokenizer.path",
             config->model.path[0] ? config->model.path : "the configuration");
    TRY(overlong_drop(run));
    if (config->rollout.dialogues > run->data->count)
        FAIL(STATUS_INPUT, "rollout.dialogues is %lld but %s has %lld dialogues; lower it",
             (long long)config->rollout.dialogues, run->data->path, (long long)run->data->count);
    const struct evaluate_settings evaluation = evaluate_settings_of(config);
    for (int64_t m = 0; m < evaluation_count(&evaluation); m++)
        if (!strcmp(evaluation_name(&evaluation, m), config->guard.metric)) return NULL;
    FAIL(STATUS_INPUT, "guard.metric is \"%s\"; it is a row of eval's table, like rouge_l",
         config->guard.metric);
}

static status trainer_open_sources(struct trainer *t)
{
    const struct world *world = t->run.world;
    struct source_settings settings = source_settings_of(t->run.config);
    if (!asks_sources(world)) return NULL;
    settings.reward_model = reward_source_of(t->reward_reader);
    TRY(sources_open(&settings, &t->settings.reward, &t->sources));
    t->rollout.sources = t->evaluators.sources = t->sources;
    TRY(sources_check(t->sources, t->run.data));
    if (t->settings.speakers && !dataset_has_speakers(t->run.data))
        FAIL(STATUS_INPUT,
             "attention.speakers does nothing: %s has no dialogue in which two users have a "
             "\"name\"",
             t->run.data->path);
    if (t->run.valid && t->run.config->eval.every > 0) TRY(sources_check(t->sources, t->run.valid));
    return NULL;
}

status trainer_open_models(struct trainer *t, const struct learner_exchange *exchange)
{
    TRY(models_open(t, exchange));
    TRY(models_fit(t));
    TRY(trainer_open_sources(t));
    if (plan_wanted(t->run.queue)) TRY(models_reserve(t));
    return evaluators_prepare(t->run.config, t->run.config->data.valid, &t->evaluators);
}

void trainer_close_models(struct trainer *t)
{
    models_close(t);
    sources_close(t->sources);
}

struct trainer trainer_of(const struct config *config, struct world *world)
{
    struct trainer t = {.run = {.config = config, .world = world, .updates = config->train.updates},
                        .settings = rollout_settings_of(config),
                        .evaluation = evaluate_settings_of(config),
                        .version = -1};
    t.user_settings = rollout_settings_of_user(&t.settings);
    return t;
}

status trainer_open(struct run *run)
{
    struct trainer *t = (struct trainer *)run;
    TRY(run_open(run));
    TRY(trainer_check_data(run));
    if (run->folder.options->dry)
        return plan_check(run->queue, run->world, trainer_plan, t); /* nothing is allocated */
    TRY(plan_reserve(run->queue, run->world, trainer_plan, t));
    const struct learner_exchange exchange = exchange_of_learner(&run->exchange);
    TRY(trainer_open_models(t, &exchange));
    if (run->world->roles.is_learner) inbox_open(t);
    plan_log_use(run->queue, "update", run->folder.start);
    return NULL;
}

bool trainer_wants(const struct trainer *t, int64_t version)
{
    return version == t->first_version || version + t->run.config->pipeline.lag < t->run.updates;
}

static struct weight_stream_settings stream_settings_of(const struct trainer *t)
{
    return (struct weight_stream_settings){.size = t->run.parameter_count,
                                           .other = running_size(&t->settings.reward) *
                                                    (int64_t)sizeof(double),
                                           .slots = t->run.config->pipeline.lag + 1,
                                           .first = t->first_version,
                                           .host = -1};
}

/* What an update's last step has finished goes to the actors. */
static void policy_ready(void *context, const float *values, int64_t begin, int64_t end)
{
    const struct trainer *t = context;
    if (trainer_wants(t, t->learned + 1)) weight_stream_ready(t->stream, values, begin, end);
}

static status stream_open(struct trainer *t)
{
    const struct weight_stream_settings settings = stream_settings_of(t);
    TRY(weight_stream_open(t->run.world, t->run.queue, &settings, &t->stream));
    if (t->run.world->rank == 0) t->run.exchange.watch = (struct values_watch){policy_ready, t};
    return NULL;
}

/* Parts are as large as the generator's passes: smaller ones would cost time where ranks are even.
 */
static status stealing_start(struct trainer *t)
{
    const struct config *config = t->run.config;
    const int64_t together = config->infer.batch / config->rollout.candidates;
    const int64_t part = together > 1 ? together : 1;
    if (!config->rollout.steal) return NULL;
    return stealing_open(t->run.world, config->rollout.dialogues, part, &t->stealing);
}

status trainer_connect(struct run *run)
{
    struct trainer *t = (struct trainer *)run;
    if (run->world->rank == 0)
        log_line(LOG_INFO, "the reference is %s%s", reference_name(run->config),
                 reference_source(run->config));
    const struct roles *roles = &run->world->roles;
    TRY(exchange_connect(&run->exchange, run->parameter_count));
    TRY(world_agree(run->world, stealing_start(t)));
    const int64_t lag = run->config->pipeline.lag, start = run->folder.start;
    const bool takes_part = roles->is_actor || run->world->rank == 0;
    t->first_version = start > lag ? start - lag : 0;
    log_line(LOG_DEBUG, "%lld weights and %lld running statistics go to the actors after an update",
             (long long)run->parameter_count, (long long)running_size(&t->settings.reward));
    status s = NULL;
    if (takes_part && !roles_both(roles) && !exchange_takes_weights(&run->exchange))
        s = stream_open(t);
    return world_agree(run->world, s);
}

status trainer_close(struct run *run)
{
    struct trainer *t = (struct trainer *)run;
    /* The queue's memory goes before the queue. */
    status s = exchange_close(&run->exchange);
    stealing_close(t->stealing);
    inbox_destroy(t->inbox);
    for (int i = 0; i <= PIPELINE_LAG_MAX; i++)
        experience_outbox_destroy(t->outboxes[i]); /* there after an error alone */
    free(t->sent);
    run_end_close(run->end);
    trainer_close_models(t);
    weight_stream_close(t->stream);
    return status_first(s, run_close(run));
}

status trainer_describe(struct run *run, FILE *out)
{
    const struct world *world = run->world;
    for (int r = 0; r < world->size; r++) {
        const struct roles roles = roles_of(r, world->size, world->roles.learners);
        fprintf(out, "# rank %d: %s%s%s\n", r, roles.is_learner ? "learner" : "",
                roles_both(&roles) ? " and " : "", roles.is_actor ? "actor" : "");
    }
    fprintf(out, "# the reference is %s%s\n", reference_name(run->config),
            reference_source(run->config));
    TRY(plan_print(run->queue, world, trainer_plan, run, out));
    if (run->frozen_count)
        fprintf(out, "# adapters: %lld parameters are trained, %lld of the base stand still\n",
                (long long)run->parameter_count, (long long)run->frozen_count);
    if (run->queue->on_host && world->roles.learners < world->size) {
        const struct weight_stream_settings stream = stream_settings_of((struct trainer *)run);
        const int64_t bytes = weight_stream_bytes(&stream), room = host_memory_free();
        fprintf(
            out,
            "# weights on their way to the actors: %.1f MB of each host's /dev/shm (%.1f MB are "
            "free here%s)\n",
            (double)bytes * 1e-6, (double)room * 1e-6,
            bytes > room ? ": too few, each rank would hold as much by itself" : "");
    }
    fprintf(out, "# parameters: %lld; updates: %lld of %lld dialogues x %lld candidates\n",
            (long long)run->parameter_count, (long long)run->updates,
            (long long)run->config->rollout.dialogues, (long long)run->config->rollout.candidates);
    return mask_print(&run->language->history, run->data, ROLE_ASSISTANT, out);
}
