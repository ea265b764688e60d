/* Supervised fine-tuning over learners: the loss is on the replies alone, batches come in prompt
 * order, and the gradient tree makes the bits those of any number of learners. */
#include "mpi/exchange.h"
#include "mpi/plan.h"
#include "mpi/run.h"
#include "mpi/run_checkpoint.h"
#include "mpi/setup.h"
#include "mpi/signals.h"
#include "src/base/clock.h"
#include "src/base/log.h"
#include "src/base/memory.h"
#include "src/base/slices.h"
#include "src/learn/schedule.h"
#include "src/task/examples.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct tuner {
    const struct config *config;
    struct world *world;
    struct run_folder folder;
    struct queue *queue;
    struct dataset *data, *valid;
    struct language *language;
    struct example_list examples, held_out;
    struct model *policy;
    struct exchange exchange;
    struct learner *learner;
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
        }
    limits.turns = t->config->sft.batch;
    if (t->held_out.count > limits.turns) limits.turns = t->held_out.count;
    return limits;
}

static status tuner_models(struct tuner *t, const struct learner_exchange *exchange)
{
    TRY(run_model_open(t->config, t->queue, true, t->language, &t->policy));
    TRY(language_fits(t->language, model_shape(t->policy)->vocabulary));
    return learner_create(t->config, exchange, t->policy, NULL, false, &t->learner);
}

static status tuner_reserve(struct tuner *t)
{
    const struct learn_limits limits = tuner_limits(t);
    return learner_reserve(t->learner, &limits);
}

static void tuner_models_close(struct tuner *t)
{
    learner_free(t->learner);
    if (t->policy) model_destroy(t->policy);
}

/* What a rank will hold, on a counting queue: a plan_function. */
static status tuner_plan(void *context, const struct world *world, struct queue *plan)
{
    struct tuner planned = *(const struct tuner *)context;
    const struct learner_exchange exchange = {.rank = world->learner, .count = world->learners};
    planned.queue = plan;
    planned.policy = NULL;
    planned.learner = NULL;
    status s = tuner_models(&planned, &exchange);
    if (!s) s = tuner_reserve(&planned);
    tuner_models_close(&planned);
    return s;
}

static status examples_open(const struct tuner *t, const struct dataset *data,
                            enum dialogue_role role, struct example_list *out)
{
    TRY(examples_make(&t->language->history, data, role, out));
    if (out->overlong && t->world->rank == 0)
        log_line(
            LOG_WARNING,
            "%s: %lld turns are left out, the first in line %lld: their prompt alone is longer "
            "than history.max_tokens (%lld)",
            data->path, (long long)out->overlong, (long long)out->overlong_line,
            (long long)t->config->history.max_tokens);
    return NULL;
}

static status tuner_open(struct tuner *t)
{
    const struct config *config = t->config;
    const enum dialogue_role role = !strcmp(config->sft.role, "user") ? ROLE_USER : ROLE_ASSISTANT;
    TRY(queue_open(config, t->world->local_rank, &t->queue));
    TRY(dataset_read(config->data.train, DATASET_TRAIN, &t->data));
    if (config->data.valid[0]) TRY(dataset_read(config->data.valid, DATASET_TRAIN, &t->valid));
    TRY(language_open(config, config->model.path, t->data, &t->language));
    TRY(examples_open(t, t->data, role, &t->examples));
    if (t->valid) TRY(examples_open(t, t->valid, role, &t->held_out));
    if (config->sft.batch > t->examples.count)
        FAIL(STATUS_INPUT, "sft.batch is %lld but %s has %lld turns to learn from; lower it",
             (long long)config->sft.batch, t->data->path, (long long)t->examples.count);
    TRY(plan_reserve(t->queue, t->world, tuner_plan, t));
    exchange_open(&t->exchange, t->world, t->queue);
    const struct learner_exchange exchange = exchange_of_learner(&t->exchange);
    TRY(tuner_models(t, &exchange));
    if (plan_wanted(t->queue)) TRY(tuner_reserve(t));
    plan_log_use(t->queue, "update", t->folder.start);
    return NULL;
}

static status tuner_close(struct tuner *t)
{
    status s = exchange_close(&t->exchange);
    run_folder_close(&t->folder);
    tuner_models_close(t);
    examples_free(&t->examples);
    examples_free(&t->held_out);
    language_close(t->language);
    if (t->data) dataset_free(t->data);
    if (t->valid) dataset_free(t->valid);
    if (t->queue) t->queue->op->destroy(t->queue);
    return s;
}

static struct learn_turn example_turn(const struct example *e)
{
    return (struct learn_turn){.history = e->history,
                               .history_count = e->history_count,
                               .reply = e->reply,
                               .reply_count = e->reply_count};
}

/* Batch `step`: places [step batch, (step + 1) batch) of the endless order; this learner's
 * microbatches of it. */
static status batch_learn(struct tuner *t, int64_t step, struct step_metrics *out, int64_t *tokens)
{
    const struct config *config = t->config;
    const int64_t batch = config->sft.batch, mine = learner_microbatches(t->learner);
    const int64_t first = mine * t->learner->exchange.rank;
    struct learn_turn *turns = memory_allocate((size_t)batch * sizeof *turns);
    int64_t *begin = memory_allocate((size_t)(mine + 1) * sizeof *begin);
    *tokens = 0;
    for (int64_t i = 0; i < batch; i++) {
        const int64_t place = step * batch + i, n = t->examples.count;
        turns[i] = example_turn(
            &t->examples.examples[prompt_order(config->seed, place / n, place % n, n)]);
        *tokens += turns[i].reply_count;
    }
    const int64_t base = microbatch_first(config, batch, first);
    for (int64_t i = 0; i <= mine; i++)
        begin[i] = microbatch_first(config, batch, first + i) - base;
    const struct learn_batch mine_batch = {.turns = turns + base,
                                           .turn_count = begin[mine],
                                           .begin = begin,
                                           .all_tokens = *tokens,
                                           .all_turns = batch};
    const double lr = schedule_rate(config->policy.schedule, config->sft.lr, config->policy.warmup,
                                    step, config->sft.updates);
    status s = sft_step(t->learner, &mine_batch, lr, out);
    free(turns);
    free(begin);
    return s;
}

struct loss_part {
    double sum;
    int64_t tokens;
};

/* Held-out loss a token, shared among the learners: contiguous slices, added in order. */
static status held_out_loss(struct tuner *t, double *loss)
{
    const int64_t rank = t->learner->exchange.rank, learners = t->learner->exchange.count;
    const int64_t limit = t->held_out.count;
    const int64_t mine = learner_microbatches(t->learner), all = mine * learners;
    struct loss_part *parts = memory_allocate((size_t)mine * sizeof *parts);
    status s = NULL;
    for (int64_t i = 0; !s && i < mine; i++) {
        const int64_t begin = slice_first(rank * mine + i, limit, all);
        const int64_t end = slice_first(rank * mine + i + 1, limit, all);
        struct learn_turn *turns = memory_allocate((size_t)(end - begin + 1) * sizeof *turns);
        for (int64_t k = begin; k < end; k++)
            turns[k - begin] = example_turn(&t->held_out.examples[k]);
        s = sft_loss(t->learner, turns, end - begin, &parts[i].sum, &parts[i].tokens);
        free(turns);
    }
    void *gathered = NULL;
    size_t bytes = 0;
    if (!s)
        s = t->learner->exchange.gather(t->learner->exchange.context, parts,
                                        (size_t)mine * sizeof *parts, &gathered, &bytes);
    const struct loss_part *all_parts = gathered;
    double sum = 0;
    int64_t tokens = 0;
    for (size_t i = 0; !s && i < bytes / sizeof *all_parts; i++) {
        sum += all_parts[i].sum;
        tokens += all_parts[i].tokens;
    }
    *loss = tokens ? sum / (double)tokens : 0;
    free(parts);
    free(gathered);
    return s;
}

/* Evaluation and early stop: the same numbers on every learner, so the same decision. */
static status held_out_check(struct tuner *t, int64_t step, bool *stop)
{
    double loss;
    TRY(held_out_loss(t, &loss));
    *stop = run_folder_judge(&t->folder, step, -loss, t->config->sft.patience);
    if (t->world->rank != 0) return NULL;
    const struct metric list[] = {{"valid_loss", loss}, {"valid_perplexity", exp(loss)}};
    TRY(run_folder_record(&t->folder, step, list, 2));
    log_line(LOG_INFO, "sft update %lld: validation loss %.4f, perplexity %.3f%s", (long long)step,
             loss, exp(loss), *stop ? "; no longer falling, stopping" : "");
    return NULL;
}

static status updates_run(struct tuner *t, bool *signalled)
{
    const struct config *config = t->config;
    const int64_t updates = config->sft.updates;
    bool stop = false;
    for (int64_t step = t->folder.start; step < updates && !stop; step++) {
        const double begun = seconds_now();
        t->world->step = step;
        struct step_metrics metrics;
        int64_t tokens;
        TRY(batch_learn(t, step, &metrics, &tokens));
        if (t->world->rank == 0) {
            const struct metric list[] = {{"loss", metrics.loss},
                                          {"gradient_norm", metrics.gradient_norm},
                                          {"skipped", metrics.skipped}};
            TRY(run_folder_report(&t->folder, step + 1, seconds_now() - begun, (double)tokens, list,
                                  3));
        }
        plan_log_use(t->queue, "update", step + 1);
        const bool last = step + 1 == updates;
        if (t->held_out.count &&
            (last || (config->eval.every > 0 && (step + 1) % config->eval.every == 0)))
            TRY(held_out_check(t, step + 1, &stop));
        TRY(world_stop_requested(t->world, signalled));
        if (*signalled) stop = true;
        if (run_checkpoint_due(config, step + 1, stop || last))
            TRY(run_checkpoint_save(&t->folder, t->learner, t->language, step + 1, NULL));
    }
    return NULL;
}

status sft_run(struct world *world, const struct run_options *options)
{
    struct tuner t = {.config = &options->config, .world = world};
    bool signalled = false;
    if (!world->is_learner || world->learners != world->size)
        FAIL(STATUS_INPUT, "sft has no actors: set roles.learners to the number of ranks, %d",
             world->size);
    status s = run_folder_open(world, options, "sft", &t.folder);
    if (!s) s = world_agree(world, tuner_open(&t));
    if (!s && options->dry) {
        if (world->rank == 0) {
            s = config_print(t.config, stdout);
            if (!s) s = plan_print(t.queue, world, tuner_plan, &t, stdout);
            printf("# %lld parameters, %lld turns to learn from, %d learners\n",
                   (long long)model_parameters(t.policy)->size, (long long)t.examples.count,
                   world->learners);
        }
    } else if (!s) {
        /* A resume that is refused has written nothing. */
        if (t.folder.checkpoint[0])
            s = world_agree(world, run_checkpoint_load(&t.folder, t.learner, NULL));
        if (!s) s = world_agree(world, run_folder_start(&t.folder, t.config->sft.updates));
        if (!s)
            s = world_agree(world, exchange_connect(&t.exchange, model_parameters(t.policy)->size));
        if (!s) {
            s = updates_run(&t, &signalled);
            if (s) world_abort(world, s);
        }
        if (!s && signalled) s = run_stopped();
    }
    return status_first(s, tuner_close(&t));
}
