/* Supervised fine-tuning over learners: the loss is on the replies alone, batches come in prompt
 * order, and the gradient tree makes the bits those of any number of learners. */
#include "mpi/run.h"
#include "mpi/run_checkpoint.h"
#include "mpi/run_loop.h"
#include "mpi/setup.h"
#include "mpi/signals.h"
#include "src/base/log.h"
#include "src/base/memory.h"
#include "src/base/slices.h"
#include "src/learn/schedule.h"
#include "src/learn/step.h"
#include "src/rollout/reencode.h"
#include "src/task/examples.h"
#include "src/task/mask.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct tuner {
    struct run run;
    struct example_list examples, held_out;
    int64_t *order, epoch;       /* of causal models: the examples of an epoch; NULL: none yet */
    struct model *base, *policy; /* base: under adapters, or NULL */
};

/* The largest of the examples that are learned from or held out. */
static struct learn_limits tuner_limits(const struct tuner *t)
{
    struct learn_limits limits = {.longest_history = 1, .longest_reply = 1};
    const struct example_list *all[] = {&t->examples, &t->held_out};
    for (int i = 0; i < 2; i++)
        for (int64_t e = 0; e < all[i]->count; e++) {
            const struct example *one = &all[i]->examples[e];
            if (one->history_count > limits.longest_history)
                limits.longest_history = one->history_count;
            if (one->reply_count > limits.longest_reply) limits.longest_reply = one->reply_count;
            if (one->cut_count > limits.cuts) limits.cuts = one->cut_count;
        }
    limits.turns = t->run.config->sft.batch;
    if (t->held_out.count > limits.turns) limits.turns = t->held_out.count;
    return limits;
}

static status tuner_models(struct tuner *t, const struct learner_exchange *exchange)
{
    struct model **whole = run_has_adapters(t->run.config) ? &t->base : &t->policy;
    TRY(run_model_open(t->run.config, t->run.queue, true, t->run.language, whole));
    if (t->base)
        TRY(run_adapted_open(t->run.config, t->base, t->run.config->model.path, true, &t->policy));
    TRY(language_fits(t->run.language, model_shape(t->policy)->vocabulary));
    struct cot_settings cot = rollout_settings_of(t->run.config).cot;
    TRY(cot_settings_fit(&cot, model_shape(t->policy), t->run.language->tokenizer));
    const struct learn_settings settings = learn_settings_of(t->run.config);
    return learner_create(&settings, exchange, t->policy, NULL, false, &t->run.learner);
}

static status tuner_reserve(struct tuner *t)
{
    const struct learn_limits limits = tuner_limits(t);
    return learner_reserve(t->run.learner, &limits);
}

static void tuner_models_close(struct tuner *t)
{
    learner_free(t->run.learner);
    if (t->policy) model_destroy(t->policy);
    if (t->base) model_destroy(t->base);
}

/* Leaves out what is longer than the model's longest sequence. */
static status examples_fit(struct tuner *t, const struct model *policy)
{
    struct example_list *all[] = {&t->examples, &t->held_out};
    const int64_t max = model_shape_sequence_max(model_shape(policy)),
                  batch = t->run.config->sft.batch;
    for (int i = 0; i < 2; i++) {
        int64_t line = 0;
        const int64_t dropped = examples_drop_longer(all[i], max, &line);
        if (dropped && t->run.world->rank == 0)
            log_line(LOG_WARNING,
                     "%lld %s are left out, the first in line %lld: history and reply are longer "
                     "than the %lld tokens of the model's longest sequence",
                     (long long)dropped, i ? "held-out turns" : "turns", (long long)line,
                     (long long)max);
    }
    if (t->examples.count < batch)
        FAIL(STATUS_INPUT, "sft.batch is %lld but only %lld turns fit into the model; lower it",
             (long long)batch, (long long)t->examples.count);
    return NULL;
}

/* What a rank will hold, on a counting queue: a plan_function. */
static status tuner_plan(void *context, const struct world *world, struct queue *plan)
{
    struct tuner *t = context, planned = *t;
    const struct learner_exchange exchange = {.rank = world->roles.learner,
                                              .count = world->roles.learners};
    planned.run.queue = plan;
    planned.base = planned.policy = NULL;
    planned.run.learner = NULL;
    status s = tuner_models(&planned, &exchange);
    if (!s) s = examples_fit(t, planned.policy);
    planned.examples = t->examples;
    planned.held_out = t->held_out;
    if (!s) s = tuner_reserve(&planned);
    if (!s) t->run.parameter_count = model_trained(planned.policy)->size;
    if (!s) t->run.frozen_count = planned.base ? model_parameters(planned.base)->size : 0;
    tuner_models_close(&planned);
    return s;
}

static enum dialogue_role learned_role(const struct config *config)
{
    return !strcmp(config->sft.role, "user") ? ROLE_USER : ROLE_ASSISTANT;
}

static status examples_open(const struct run *run, const struct dataset *data,
                            enum dialogue_role role, struct example_list *out)
{
    const struct config *config = run->config;
    TRY(examples_make(&run->language->history, data, role, out));
    if (config->task == TASK_REASONING && config->cot.history == COT_REENCODE) {
        struct cot_settings cot = rollout_settings_of(config).cot;
        cot.tokenizer = run->language->tokenizer;
        TRY(reencode_examples(&cot, out));
    }
    if (out->overlong && run->world->rank == 0)
        log_line(
            LOG_WARNING,
            "%s: %lld turns are left out, the first in line %lld: their prompt alone is longer "
            "than history.max_tokens (%lld)",
            data->path, (long long)out->overlong, (long long)out->overlong_line,
            (long long)run->config->history.max_tokens);
    if (run->config->history.prune && run->world->rank == 0)
        log_line(LOG_INFO,
                 "%s: of %lld turns %lld have a pruned history; %lld lost messages whole, because "
                 "pruning could not make room enough",
                 data->path, (long long)out->count, (long long)out->pruned, (long long)out->whole);
    return NULL;
}

static status tuner_open(struct run *run)
{
    struct tuner *t = (struct tuner *)run;
    const struct config *config = run->config;
    const enum dialogue_role role = learned_role(config);
    TRY(run_open(run));
    TRY(examples_open(run, run->data, role, &t->examples));
    if (run->valid) TRY(examples_open(run, run->valid, role, &t->held_out));
    if (config->sft.batch > t->examples.count)
        FAIL(STATUS_INPUT, "sft.batch is %lld but %s has %lld turns to learn from; lower it",
             (long long)config->sft.batch, run->data->path, (long long)t->examples.count);
    if (run->folder.options->dry)
        return plan_check(run->queue, run->world, tuner_plan, t); /* nothing is allocated */
    TRY(plan_reserve(run->queue, run->world, tuner_plan, t));
    const struct learner_exchange exchange = exchange_of_learner(&run->exchange);
    TRY(tuner_models(t, &exchange));
    TRY(examples_fit(t, t->policy));
    run->parameter_count = model_trained(t->policy)->size;
    if (plan_wanted(run->queue)) TRY(tuner_reserve(t));
    plan_log_use(run->queue, "update", run->folder.start);
    return NULL;
}

static status tuner_describe(struct run *run, FILE *out)
{
    const struct tuner *t = (const struct tuner *)run;
    TRY(plan_print(run->queue, run->world, tuner_plan, run, out));
    if (run->frozen_count)
        fprintf(out, "# adapters: %lld parameters are trained, %lld of the base stand still\n",
                (long long)run->parameter_count, (long long)run->frozen_count);
    fprintf(out, "# %lld parameters, %lld turns to learn from, %d learners\n",
            (long long)run->parameter_count, (long long)t->examples.count,
            run->world->roles.learners);
    return mask_print(&run->language->history, run->data, learned_role(run->config), out);
}

static status tuner_resume(struct run *run)
{
    return run->folder.checkpoint[0] ? run_checkpoint_load(&run->folder, run->learner, NULL) : NULL;
}

static status tuner_connect(struct run *run)
{
    return exchange_connect(&run->exchange, run->parameter_count);
}

static status tuner_close(struct run *run)
{
    struct tuner *t = (struct tuner *)run;
    /* The queue's memory goes before the queue. */
    status s = exchange_close(&run->exchange);
    tuner_models_close(t);
    free(t->order);
    examples_free(&t->examples);
    examples_free(&t->held_out);
    return status_first(s, run_close(run));
}

static struct learn_turn example_turn(const struct example *e)
{
    return (struct learn_turn){.history = e->history,
                               .history_count = e->history_count,
                               .reply = e->reply,
                               .reply_count = e->reply_count,
                               .cuts = e->cuts,
                               .cut_count = e->cut_count};
}

static double learning_rate(const struct config *config, int64_t step)
{
    return schedule_rate(config->policy.schedule, config->sft.lr, config->policy.warmup, step,
                         config->sft.updates);
}

/* The example at a place of the endless order: of causal models, which compute what turns share
 * once, the turns of a dialogue stand side by side. */
static const struct example *example_at(struct tuner *t, int64_t place)
{
    const int64_t n = t->examples.count, epoch = place / n, seed = t->run.config->seed;
    if (!t->run.learner->causal)
        return &t->examples.examples[prompt_order(seed, epoch, place % n, n)];
    if (!t->order || t->epoch != epoch) {
        t->order = memory_resize(t->order, (size_t)n * sizeof *t->order);
        examples_order(&t->examples, seed, epoch, t->order);
        t->epoch = epoch;
    }
    return &t->examples.examples[t->order[place % n]];
}

/* Batch `step`: places [step batch, (step + 1) batch) of the endless order; this learner's
 * microbatches of it. */
static status batch_learn(struct tuner *t, int64_t step, struct step_metrics *out, int64_t *tokens)
{
    const struct config *config = t->run.config;
    const int64_t batch = config->sft.batch, mine = learner_microbatches(t->run.learner);
    const int64_t first = mine * t->run.learner->exchange.rank;
    struct learn_turn *turns = memory_allocate((size_t)batch * sizeof *turns);
    int64_t *begin = memory_allocate((size_t)(mine + 1) * sizeof *begin);
    *tokens = 0;
    for (int64_t i = 0; i < batch; i++) {
        turns[i] = example_turn(example_at(t, step * batch + i));
        *tokens += turns[i].reply_count;
    }
    const int64_t microbatches = config->learn.microbatches;
    const int64_t base = microbatch_first(microbatches, batch, first);
    for (int64_t i = 0; i <= mine; i++)
        begin[i] = microbatch_first(microbatches, batch, first + i) - base;
    const struct learn_batch mine_batch = {.turns = turns + base,
                                           .turn_count = begin[mine],
                                           .begin = begin,
                                           .all_tokens = *tokens,
                                           .all_turns = batch};
    status s =
        learner_step(t->run.learner, &loss_sft, &mine_batch, learning_rate(config, step), out);
    free(turns);
    free(begin);
    return s;
}

struct loss_part {
    double sum;
    int64_t tokens;
};

/* The parts of this learner; left off once a signal asks to stop. */
static status loss_parts(struct tuner *t, struct loss_part *parts, int64_t mine)
{
    const int64_t first = mine * t->run.learner->exchange.rank;
    const int64_t all = mine * t->run.learner->exchange.count;
    for (int64_t i = 0; i < mine && !signals_stop_asked(); i++) {
        const int64_t begin = slice_first(first + i, t->held_out.count, all);
        const int64_t end = slice_first(first + i + 1, t->held_out.count, all);
        struct learn_turn *turns = memory_allocate((size_t)(end - begin + 1) * sizeof *turns);
        for (int64_t k = begin; k < end; k++)
            turns[k - begin] = example_turn(&t->held_out.examples[k]);
        status s =
            loss_sft_held_out(t->run.learner, turns, end - begin, &parts[i].sum, &parts[i].tokens);
        free(turns);
        TRY(s);
    }
    return NULL;
}

/* All learners' parts, added in order. */
static status loss_gather(struct tuner *t, const struct loss_part *parts, int64_t mine,
                          double *loss)
{
    const struct learner_exchange *exchange = &t->run.learner->exchange;
    void *gathered;
    size_t bytes;
    TRY(exchange->gather(exchange->context, parts, (size_t)mine * sizeof *parts, &gathered,
                         &bytes));
    const struct loss_part *all = gathered;
    double sum = 0;
    int64_t tokens = 0;
    for (size_t i = 0; i < bytes / sizeof *all; i++) {
        sum += all[i].sum;
        tokens += all[i].tokens;
    }
    *loss = tokens ? sum / (double)tokens : 0;
    free(gathered);
    return NULL;
}

/* Held-out loss a token, shared among the learners in contiguous slices. */
static status held_out_loss(struct tuner *t, double *loss, bool *stopped)
{
    const int64_t mine = learner_microbatches(t->run.learner);
    struct loss_part *parts = memory_allocate((size_t)mine * sizeof *parts);
    status s = loss_parts(t, parts, mine);
    if (!s) s = world_stop_requested(t->run.world, stopped);
    if (!s && !*stopped) s = loss_gather(t, parts, mine, loss);
    free(parts);
    return s;
}

static status tuner_step(struct run *run, int64_t step, struct metric_list *metrics,
                         int64_t *tokens)
{
    struct step_metrics done;
    TRY(batch_learn((struct tuner *)run, step, &done, tokens));
    metric_list_add(metrics, done.loss, "loss");
    metric_list_add(metrics, done.gradient_norm, "gradient_norm");
    metric_list_add(metrics, done.skipped, "skipped");
    metric_list_add(metrics, done.tokens_computed, "learn_tokens_computed");
    metric_list_add(metrics, done.tokens_pairs, "learn_tokens_pairs");
    metric_list_add(metrics, learning_rate(run->config, step), "learning_rate");
    return NULL;
}

static bool tuner_evaluates(const struct run *run, int64_t step)
{
    const int64_t every = run->config->eval.every;
    return ((const struct tuner *)run)->held_out.count > 0 &&
           (step == run->updates || (every > 0 && step % every == 0));
}

static status tuner_evaluate(struct run *run, struct metric_list *metrics, bool *stopped)
{
    double loss = 0;
    TRY(held_out_loss((struct tuner *)run, &loss, stopped));
    if (*stopped) return NULL;
    metric_list_add(metrics, loss, "valid_loss");
    metric_list_add(metrics, exp(loss), "valid_perplexity");
    return NULL;
}

static struct run_watch tuner_watch(const struct run *run)
{
    return (struct run_watch){
        .metric = "valid_loss", .lower_is_better = true, .patience = run->config->sft.patience};
}

static status tuner_save(struct run *run, int64_t step)
{
    return run_checkpoint_save(&run->folder, run->learner, run->language, step, NULL);
}

status sft_run(struct world *world, const struct run_options *options)
{
    static const struct run_kind kind = {.name = "sft",
                                         .open = tuner_open,
                                         .describe = tuner_describe,
                                         .resume = tuner_resume,
                                         .connect = tuner_connect,
                                         .step = tuner_step,
                                         .evaluates = tuner_evaluates,
                                         .evaluate = tuner_evaluate,
                                         .watch = tuner_watch,
                                         .save = tuner_save,
                                         .close = tuner_close};
    if (world->roles.learners != world->size)
        FAIL(STATUS_INPUT, "sft has no actors: set roles.learners to the number of ranks, %d",
             world->size);
    struct tuner t = {.run = {.config = &options->config,
                              .world = world,
                              .updates = options->config.sft.updates}};
    return run_loop(&t.run, options, &kind);
}
