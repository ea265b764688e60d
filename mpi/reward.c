/* Reward models: a value head on a model's trunk, learned from pairs of replies.  What a pair is
 * and what its loss is depends on rm.objective, a row of the table below. */
#include "mpi/data.h"
#include "mpi/reward_metrics.h"
#include "mpi/reward_pair.h"
#include "mpi/run.h"
#include "mpi/setup.h"
#include "mpi/supervised.h"
#include "mpi/teacher.h"
#include "src/base/log.h"
#include "src/base/memory.h"
#include "src/learn/aligner.h"
#include "src/learn/pack.h"
#include "src/rollout/reward_reader.h"
#include "src/task/mask.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct objective {
    const struct loss *loss;
    bool dialogues; /* its data are dialogues, else preferences */
    bool apart;     /* preference_measure's */
    bool joined;    /* both replies are read at once, in an order that is drawn */
    bool aligned;   /* its attention may be aligned with a teacher's */
};

static const struct objective objectives[] = {
    [RM_BRADLEY_TERRY] = {.loss = &loss_bradley_terry},
    [RM_ON_TOPIC] = {.loss = &loss_logistic, .dialogues = true, .apart = true},
    [RM_PAIR] = {.loss = &loss_pair, .joined = true},
    [RM_INTERACTION] = {.loss = &loss_interaction, .aligned = true},
};

struct rewarder {
    struct supervised s;
    const struct objective *objective;
    struct preferences *pairs, *valid_pairs; /* NULL of dialogues */
    struct reward_examples examples, held_out;
    struct model *base;                  /* under adapters, or NULL */
    struct value_model *model, *teacher; /* teacher NULL: none */
    struct aligner *aligner;             /* NULL: none */
};

/* A teacher sees both replies from all of its tokens; its student reads from the left. */
static status family_check(const struct rewarder *t)
{
    const bool causal = model_shape_is_causal(model_shape(value_model_trunk(t->model)));
    if (causal && t->objective->joined)
        FAIL(STATUS_INPUT, "rm.objective: pair reads both replies with full attention: it needs a "
                           "T5, not a decoder-only model");
    if (!causal && t->objective->aligned)
        FAIL(STATUS_INPUT,
             "rm.objective: interaction reads each reply with a decoder-only model, not a T5");
    return NULL;
}

static status models_open(struct rewarder *t, const struct learner_exchange *exchange)
{
    const struct config *config = t->s.run.config;
    const struct learn_settings settings = learn_settings_of(config);
    TRY(run_value_model_open(config, t->s.run.queue, t->s.run.language, &t->base, &t->model));
    TRY(language_fits(t->s.run.language, model_shape(value_model_trunk(t->model))->vocabulary));
    TRY(family_check(t));
    TRY(learner_create_reward_model(&settings, exchange, t->model, &t->s.run.learner));
    if (!t->objective->aligned || settings.align.weight == 0) return NULL;
    TRY(teacher_open(config, t->s.run.queue, t->s.run.language, &t->teacher));
    TRY(aligner_create(&settings.align, t->teacher, t->model, &t->aligner));
    t->s.run.learner->aligner = t->aligner;
    return NULL;
}

static status models_reserve(struct rewarder *t)
{
    struct learn_limits limits = {.longest_history = 1, .longest_reply = 1};
    reward_examples_limits(&t->examples, &limits.longest_history, &limits.cuts);
    reward_examples_limits(&t->held_out, &limits.longest_history, &limits.cuts);
    limits.together = loss_together(t->objective->loss);
    limits.turns =
        limits.together * (t->s.batch > t->held_out.count ? t->s.batch : t->held_out.count);
    if (t->objective->joined) limits.longest_history *= 2;
    TRY(learner_reserve(t->s.run.learner, &limits));
    if (!t->aligner) return NULL;
    const struct model_limits pass = pack_limits(&t->s.run.learner->settings, &limits);
    return aligner_reserve(t->aligner, &pass);
}

static void models_close(struct rewarder *t)
{
    learner_free(t->s.run.learner);
    aligner_destroy(t->aligner);
    value_model_destroy(t->teacher);
    value_model_destroy(t->model);
    if (t->base) model_destroy(t->base);
}

/* Leaves out what is longer than the model's longest sequence. */
static status examples_fit(struct rewarder *t, struct value_model *model)
{
    struct reward_examples *all[] = {&t->examples, &t->held_out};
    const int64_t max = model_shape_sequence_max(model_shape(value_model_trunk(model)));
    for (int i = 0; i < 2; i++) {
        int64_t line = 0;
        const int64_t dropped = reward_examples_drop_longer(all[i], max, &line);
        supervised_warn_longer(&t->s.run, dropped, i ? "held-out pairs" : "pairs", line, max);
    }
    t->s.held_out = t->held_out.count;
    if (t->examples.count < t->s.batch)
        FAIL(STATUS_INPUT, "rm.batch is %lld but there are %lld pairs to learn from; lower it",
             (long long)t->s.batch, (long long)t->examples.count);
    TRY(reward_examples_check(&t->examples, t->s.run.config->data.train));
    return reward_examples_check(&t->held_out, t->s.run.config->data.valid);
}

/* What a rank will hold, on a counting queue: a plan_function. */
static status models_plan(void *context, const struct world *world, struct queue *plan)
{
    struct rewarder *t = context, planned = *t;
    const struct learner_exchange exchange = {.rank = world->roles.learner,
                                              .count = world->roles.learners};
    planned.s.run.queue = plan;
    planned.s.run.learner = NULL;
    planned.aligner = NULL;
    planned.model = planned.teacher = NULL;
    status s = models_open(&planned, &exchange);
    if (!s) s = examples_fit(t, planned.model);
    planned.examples = t->examples;
    planned.held_out = t->held_out;
    if (!s) s = models_reserve(&planned);
    if (!s) {
        struct model *base = model_base(value_model_trunk(planned.model));
        t->s.run.parameter_count = value_model_parameters(planned.model)->size;
        run_plan_snapshot(&t->s.run, planned.s.run.learner, 0);
        t->s.run.frozen_count = base ? model_parameters(base)->size : 0;
    }
    models_close(&planned);
    return s;
}

static void examples_warn(const struct run *run, const char *path,
                          const struct reward_examples *examples, const struct preferences *pairs)
{
    supervised_warn_overlong(run, path, examples->overlong, "pairs", examples->overlong_line);
    if (run->world->rank != 0) return;
    if (pairs && pairs->same)
        log_line(LOG_WARNING,
                 "%s: %lld pairs are left out, the first in line %lld: chosen and rejected are the "
                 "same text",
                 path, (long long)pairs->same, (long long)pairs->same_line);
    if (!pairs && !examples->services)
        log_line(LOG_INFO,
                 "%s: no line has a \"service\": wrong replies are drawn from all other dialogues",
                 path);
}

static status pairs_open(struct rewarder *t)
{
    struct run *run = &t->s.run;
    const struct config *config = run->config;
    TRY(data_read_preferences(config, config->data.train, &t->pairs));
    if (config->data.valid[0])
        TRY(data_read_preferences(config, config->data.valid, &t->valid_pairs));
    TRY(run_open_language(run, NULL));
    const struct history_options *history = &run->language->history;
    TRY(reward_examples_of_pairs(history, t->pairs, &t->examples));
    return t->valid_pairs ? reward_examples_of_pairs(history, t->valid_pairs, &t->held_out) : NULL;
}

static status dialogues_open(struct rewarder *t)
{
    struct run *run = &t->s.run;
    TRY(run_open_data(run));
    TRY(run_open_language(run, run->data));
    const struct history_options *history = &run->language->history;
    TRY(reward_examples_of_dialogues(history, run->data, &t->examples));
    return run->valid ? reward_examples_of_dialogues(history, run->valid, &t->held_out) : NULL;
}

static status rewarder_open(struct run *run)
{
    struct rewarder *t = (struct rewarder *)run;
    const struct config *config = run->config;
    TRY(run_open_queue(run));
    TRY(t->objective->dialogues ? dialogues_open(t) : pairs_open(t));
    examples_warn(run, config->data.train, &t->examples, t->pairs);
    if (config->data.valid[0]) examples_warn(run, config->data.valid, &t->held_out, t->valid_pairs);
    reward_examples_keep(&t->examples, config->seed, config->rm.pairs);
    if (run->folder.options->dry) return plan_check(run->queue, run->world, models_plan, t);
    TRY(plan_reserve(run->queue, run->world, models_plan, t));
    const struct learner_exchange exchange = exchange_of_learner(&run->exchange);
    TRY(models_open(t, &exchange));
    TRY(examples_fit(t, t->model));
    run->parameter_count = value_model_parameters(t->model)->size;
    if (plan_wanted(run->queue)) TRY(models_reserve(t));
    plan_log_use(run->queue, "update", run->folder.start);
    return NULL;
}

/* The first pair's history with its chosen reply. */
static status pair_print(const struct rewarder *t, FILE *out)
{
    const struct preference *pair = &t->pairs->list[0];
    const int64_t count = pair->history.message_count;
    struct dialogue dialogue = pair->history;
    struct dataset data = {.dialogues = &dialogue, .count = 1};
    dialogue.messages = memory_allocate((size_t)(count + 1) * sizeof *dialogue.messages);
    memcpy(dialogue.messages, pair->history.messages, (size_t)count * sizeof *dialogue.messages);
    dialogue.messages[dialogue.message_count++] =
        (struct message){ROLE_ASSISTANT, pair->chosen, NULL};
    status s = mask_print(&t->s.run.language->history, &data, ROLE_ASSISTANT, out);
    free(dialogue.messages);
    return s;
}

static status rewarder_describe(struct run *run, FILE *out)
{
    const struct rewarder *t = (const struct rewarder *)run;
    TRY(supervised_describe(run, models_plan, t->examples.count, "pairs", out));
    fprintf(out, "# a score is of all tokens that are read: history and (*) %s\n",
            t->pairs ? "reply, here the chosen one" : "reply");
    return t->pairs ? pair_print(t, out)
                    : mask_print(&run->language->history, run->data, ROLE_ASSISTANT, out);
}

static status rewarder_close(struct run *run)
{
    struct rewarder *t = (struct rewarder *)run;
    /* The queue's memory goes before the queue. */
    status s = exchange_close(&run->exchange);
    models_close(t);
    reward_examples_free(&t->examples);
    reward_examples_free(&t->held_out);
    preferences_free(t->pairs);
    preferences_free(t->valid_pairs);
    return status_first(s, run_close(run));
}

/* What the sequence holds is the turn's. */
static struct learn_turn sequence_turn(const struct reward_sequence *sequence)
{
    return (struct learn_turn){.history = sequence->tokens,
                               .history_count = sequence->count,
                               .cuts = sequence->cuts,
                               .cut_count = sequence->cut_count};
}

static void turn_free(struct learn_turn *turn)
{
    free((void *)turn->history);
    free((void *)turn->cuts);
    free((void *)turn->markers);
}

/* Of the sequence of an example: which tokens are no text; of a reply its end. */
static void turn_mark(struct learn_turn *turn, const struct reward_example *one)
{
    uint8_t *markers = memory_allocate((size_t)turn->history_count + 1);
    memcpy(markers, one->special, (size_t)one->history_count);
    if (turn->history_count > one->history_count) markers[turn->history_count - 1] = 1;
    turn->markers = markers;
    turn->prompt = one->history_count;
    turn->apart = true;
}

static void rewarder_item(struct supervised *s, int64_t place, struct learn_turn *turns)
{
    struct rewarder *t = (struct rewarder *)s;
    const int64_t n = t->examples.count, seed = s->run.config->seed;
    const int64_t index = prompt_order(seed, place / n, place % n, n);
    struct reward_pair pair;
    reward_pair_make(&t->examples, seed, index, place, false, t->objective->joined, &pair);
    for (int64_t i = 0; i < pair.count; i++) {
        turns[i] = sequence_turn(&pair.sequences[i]);
        if (t->aligner) turn_mark(&turns[i], &t->examples.list[index]);
    }
    turns[0].target = pair.order;
}

/* A held_out_function: struct preference_scores an item. */
static status pairs_score(struct supervised *s, int64_t begin, int64_t end, void *records)
{
    struct rewarder *t = (struct rewarder *)s;
    const int64_t count = end - begin;
    int64_t turn_count = 0, at = 0;
    struct preference_scores *scores = records;
    struct reward_pair *pairs = memory_allocate((size_t)(count + 1) * sizeof *pairs);
    struct learn_turn *turns = memory_allocate((size_t)(2 * count + 1) * sizeof *turns);
    double *values = memory_allocate((size_t)(2 * count + 1) * sizeof *values);
    for (int64_t i = 0; i < count; i++) {
        reward_pair_make(&t->held_out, s->run.config->seed, begin + i, begin + i, true,
                         t->objective->joined, &pairs[i]);
        for (int64_t k = 0; k < pairs[i].count; k++)
            turns[turn_count++] = sequence_turn(&pairs[i].sequences[k]);
    }
    status error = learner_values(s->run.learner, turns, turn_count, values);
    for (int64_t i = 0; i < count; at += pairs[i++].count) {
        scores[i] = reward_pair_scores(&pairs[i], values + at);
        reward_pair_free(&pairs[i]);
    }
    free(pairs);
    free(turns);
    free(values);
    return error;
}

/* The line of the pair and which of its replies it is are told where a score is no number. */
static status scores_check(const struct rewarder *t, const struct preference_scores *scores)
{
    for (int64_t i = 0; i < t->held_out.count; i++) {
        status s = reward_score_check(scores[i].right);
        const bool right = s != NULL;
        if (!s) s = reward_score_check(scores[i].wrong);
        if (s)
            return status_context(s, "%s: line %lld, the %s reply", t->s.run.config->data.valid,
                                  (long long)t->held_out.list[i].line, right ? "right" : "wrong");
    }
    return NULL;
}

static status rewarder_evaluate(struct run *run, struct metric_list *metrics, bool *stopped)
{
    struct rewarder *t = (struct rewarder *)run;
    struct preference_scores *all;
    size_t bytes;
    TRY(supervised_measure(&t->s, 0, sizeof *all, pairs_score, (void **)&all, &bytes, stopped));
    if (*stopped) return NULL;
    status s = scores_check(t, all);
    if (!s) {
        const struct preference_metrics measured =
            preference_measure(all, (int64_t)(bytes / sizeof *all), t->objective->apart);
        reward_metrics_list(&measured, "valid_", metrics);
    }
    free(all);
    return s;
}

/* A model whose scores are no numbers before it has learned anything will learn nothing; an update
 * that overflows later is skipped. */
static status rewarder_step(struct run *run, int64_t step, struct metric_list *metrics,
                            int64_t *tokens)
{
    TRY(supervised_step(run, step, metrics, tokens));
    const double loss = metric_list_value(metrics, "loss");
    if (step > run->folder.start || isfinite(loss)) return NULL;
    FAIL(STATUS_INPUT,
         "the first update's loss is no number: nor are the scores of the model that it begins "
         "with, whose weights are damaged, or too large (model.path)");
}

status reward_run(struct world *world, const struct run_options *options)
{
    static const struct run_kind kind = {.name = "reward",
                                         .open = rewarder_open,
                                         .describe = rewarder_describe,
                                         .resume = supervised_resume,
                                         .connect = supervised_connect,
                                         .step = rewarder_step,
                                         .evaluates = supervised_evaluates,
                                         .evaluate = rewarder_evaluate,
                                         .watch = supervised_watch,
                                         .save = supervised_save,
                                         .close = rewarder_close};
    const struct config *config = &options->config;
    const struct objective *objective = &objectives[config->rm.objective];
    TRY(supervised_check(world, "reward"));
    struct rewarder t = {
        .s = {.run = {.config = config, .world = world, .updates = config->rm.updates},
              .loss = objective->loss,
              .batch = config->rm.batch,
              .lr = config->rm.lr,
              .patience = config->rm.patience,
              .watched = "valid_nll",
              .item = rewarder_item,
              .turn_end = turn_free},
        .objective = objective};
    return run_loop(&t.s.run, options, &kind);
}
