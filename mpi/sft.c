/* Supervised fine-tuning: the loss is on the replies alone, batches come in prompt order. */
#include "mpi/run.h"
#include "mpi/setup.h"
#include "mpi/supervised.h"
#include "src/base/cut_turns.h"
#include "src/base/log.h"
#include "src/base/memory.h"
#include "src/model/slots.h"
#include "src/rollout/reencode.h"
#include "src/task/examples.h"
#include "src/task/mask.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct tuner {
    struct supervised s;
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
            struct cut_turns turns;
            cut_turns_read(one->cuts, one->cut_count, &turns);
            if (turns.tokens > limits.cut_tokens) limits.cut_tokens = turns.tokens;
            for (int64_t n = 0; n < turns.turns; n++) /* each is encoded beside the histories */
                if (turns.length[n] > limits.longest_history)
                    limits.longest_history = turns.length[n];
            if (turns.slots > limits.summary_slots) limits.summary_slots = turns.slots;
        }
    limits.turns = t->s.run.config->sft.batch;
    if (t->held_out.count > limits.turns) limits.turns = t->held_out.count;
    return limits;
}

static status tuner_models(struct tuner *t, const struct learner_exchange *exchange)
{
    struct model **whole = run_has_adapters(t->s.run.config) ? &t->base : &t->policy;
    TRY(run_model_open(t->s.run.config, t->s.run.queue, true, t->s.run.language, whole));
    const struct config *config = t->s.run.config;
    if (config->history.summary == HISTORY_SUMMARY_LEARNED &&
        !model_shape_is_causal(model_shape(*whole)) && !model_slots(model_shape(*whole)))
        TRY(model_add_slots(whole, config->history.summary_slots, true, config->seed));
    if (t->base)
        TRY(run_adapted_open(t->s.run.config, t->base, t->s.run.config->model.path, true,
                             &t->policy));
    TRY(language_fits(t->s.run.language, model_shape(t->policy)->vocabulary));
    run_model_warn(config, t->s.run.world, t->policy);
    TRY(summary_settings_fit(t->s.run.config, model_shape(t->policy)));
    struct cot_settings cot = rollout_settings_of(t->s.run.config).cot;
    TRY(cot_settings_fit(&cot, model_shape(t->policy), t->s.run.language->tokenizer));
    const struct learn_settings settings = learn_settings_of(t->s.run.config);
    return learner_create(&settings, exchange, t->policy, NULL, false, &t->s.run.learner);
}

static status tuner_reserve(struct tuner *t)
{
    const struct learn_limits limits = tuner_limits(t);
    return learner_reserve(t->s.run.learner, &limits);
}

static void tuner_models_close(struct tuner *t)
{
    learner_free(t->s.run.learner);
    if (t->policy) model_destroy(t->policy);
    if (t->base) model_destroy(t->base);
}

/* Leaves out what is longer than the model's longest sequence. */
static status examples_fit(struct tuner *t, const struct model *policy)
{
    struct example_list *all[] = {&t->examples, &t->held_out};
    const int64_t max = model_shape_sequence_max(model_shape(policy)),
                  batch = t->s.run.config->sft.batch;
    for (int i = 0; i < 2; i++) {
        int64_t line = 0;
        const int64_t dropped = examples_drop_longer(all[i], max, &line);
        supervised_warn_longer(&t->s.run, dropped, i ? "held-out turns" : "turns", line, max);
    }
    t->s.held_out = t->held_out.count;
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
    planned.s.run.queue = plan;
    planned.base = planned.policy = NULL;
    planned.s.run.learner = NULL;
    status s = tuner_models(&planned, &exchange);
    if (!s) s = examples_fit(t, planned.policy);
    planned.examples = t->examples;
    planned.held_out = t->held_out;
    if (!s) s = tuner_reserve(&planned);
    if (!s) t->s.run.parameter_count = model_trained(planned.policy)->size;
    if (!s) run_plan_snapshot(&t->s.run, planned.s.run.learner, 0);
    if (!s) t->s.run.frozen_count = planned.base ? model_parameters(planned.base)->size : 0;
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
    supervised_warn_overlong(run, data->path, out->overlong, "turns", out->overlong_line);
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
    TRY(supervised_describe(run, tuner_plan, t->examples.count, "turns", out));
    return mask_print(&run->language->history, run->data, learned_role(run->config), out);
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

/* The example at a place of the endless order: of causal models, which compute what turns share
 * once, the turns of a dialogue stand side by side. */
static const struct example *example_at(struct tuner *t, int64_t place)
{
    const int64_t n = t->examples.count, epoch = place / n, seed = t->s.run.config->seed;
    if (!t->s.run.learner->causal)
        return &t->examples.examples[prompt_order(seed, epoch, place % n, n)];
    if (!t->order || t->epoch != epoch) {
        t->order = memory_resize(t->order, (size_t)n * sizeof *t->order);
        examples_order(&t->examples, seed, epoch, t->order);
        t->epoch = epoch;
    }
    return &t->examples.examples[t->order[place % n]];
}

static void tuner_item(struct supervised *s, int64_t place, struct learn_turn *turns)
{
    *turns = example_turn(example_at((struct tuner *)s, place));
}

struct loss_part {
    double sum;
    int64_t tokens;
};

/* A held_out_function: a part. */
static status loss_part(struct supervised *s, int64_t begin, int64_t end, void *records)
{
    const struct tuner *t = (const struct tuner *)s;
    struct loss_part *part = records;
    struct learn_turn *turns = memory_allocate((size_t)(end - begin + 1) * sizeof *turns);
    for (int64_t k = begin; k < end; k++) turns[k - begin] = example_turn(&t->held_out.examples[k]);
    status error = loss_sft_held_out(s->run.learner, turns, end - begin, &part->sum, &part->tokens);
    free(turns);
    return error;
}

/* Held-out loss a token: all learners' parts, added in order. */
static status held_out_loss(struct tuner *t, double *loss, bool *stopped)
{
    struct loss_part *all;
    size_t bytes;
    TRY(supervised_measure(&t->s, sizeof *all, 0, loss_part, (void **)&all, &bytes, stopped));
    if (*stopped) return NULL;
    double sum = 0;
    int64_t tokens = 0;
    for (size_t i = 0; i < bytes / sizeof *all; i++) {
        sum += all[i].sum;
        tokens += all[i].tokens;
    }
    *loss = tokens ? sum / (double)tokens : 0;
    free(all);
    return NULL;
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

status sft_run(struct world *world, const struct run_options *options)
{
    static const struct run_kind kind = {.name = "sft",
                                         .open = tuner_open,
                                         .describe = tuner_describe,
                                         .resume = supervised_resume,
                                         .connect = supervised_connect,
                                         .step = supervised_step,
                                         .evaluates = supervised_evaluates,
                                         .evaluate = tuner_evaluate,
                                         .watch = supervised_watch,
                                         .save = supervised_save,
                                         .close = tuner_close};
    const struct config *config = &options->config;
    TRY(supervised_check(world, "sft"));
    struct tuner t = {
        .s = {.run = {.config = config, .world = world, .updates = config->sft.updates},
              .loss = &loss_sft,
              .batch = config->sft.batch,
              .lr = config->sft.lr,
              .patience = config->sft.patience,
              .watched = "valid_loss",
              .item = tuner_item}};
    return run_loop(&t.s.run, options, &kind);
}
