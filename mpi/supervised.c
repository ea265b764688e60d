#include "mpi/supervised.h"

#include "mpi/run_checkpoint.h"
#include "mpi/signals.h"
#include "src/base/log.h"
#include "src/base/memory.h"
#include "src/base/slices.h"
#include "src/learn/schedule.h"

#include <stdlib.h>

status supervised_check(const struct world *world, const char *verb)
{
    if (world->roles.learners == world->size) return NULL;
    FAIL(STATUS_INPUT, "%s has no actors: set roles.learners to the number of ranks, %d", verb,
         world->size);
}

status supervised_resume(struct run *run)
{
    return run->folder.checkpoint[0] ? run_checkpoint_load(&run->folder, run->learner, NULL) : NULL;
}

status supervised_connect(struct run *run)
{
    return exchange_connect(&run->exchange, run->parameter_count);
}

static double learning_rate(const struct supervised *s, int64_t step)
{
    const struct config *config = s->run.config;
    return schedule_rate(config->policy.schedule, s->lr, config->policy.warmup, step,
                         s->run.updates);
}

/* This learner's microbatches of the batch. */
static status batch_learn(struct supervised *s, int64_t step, struct step_metrics *out,
                          int64_t *tokens)
{
    const int64_t mine = learner_microbatches(s->run.learner), together = loss_together(s->loss);
    const int64_t first = mine * s->run.learner->exchange.rank;
    struct learn_turn *turns = memory_allocate((size_t)(s->batch * together) * sizeof *turns);
    int64_t *begin = memory_allocate((size_t)(mine + 1) * sizeof *begin);
    int64_t replies = 0, histories = 0;
    for (int64_t i = 0; i < s->batch; i++) s->item(s, step * s->batch + i, turns + i * together);
    for (int64_t i = 0; i < s->batch * together; i++) {
        replies += turns[i].reply_count;
        histories += turns[i].history_count;
    }
    *tokens = replies ? replies : histories;
    const int64_t microbatches = s->run.config->learn.microbatches;
    const int64_t base = microbatch_first(microbatches, s->batch, first);
    for (int64_t i = 0; i <= mine; i++)
        begin[i] = together * (microbatch_first(microbatches, s->batch, first + i) - base);
    const struct learn_batch mine_batch = {.turns = turns + base * together,
                                           .turn_count = begin[mine],
                                           .begin = begin,
                                           .all_tokens = replies,
                                           .all_turns = s->batch * together};
    status error = learner_step(s->run.learner, s->loss, &mine_batch, learning_rate(s, step), out);
    for (int64_t i = 0; s->turn_end && i < s->batch * together; i++) s->turn_end(&turns[i]);
    free(turns);
    free(begin);
    return error;
}

status supervised_step(struct run *run, int64_t step, struct metric_list *metrics, int64_t *tokens)
{
    struct supervised *s = (struct supervised *)run;
    struct step_metrics done;
    timeline_begin(TIME_LEARN);
    status error = batch_learn(s, step, &done, tokens);
    timeline_end();
    TRY(error);
    metric_list_add(metrics, done.loss, "loss");
    if (s->loss->of_pairs) metric_list_add(metrics, done.accuracy, "accuracy");
    if (run->learner->aligner) metric_list_add(metrics, done.alignment, "alignment");
    metric_list_add(metrics, done.gradient_norm, "gradient_norm");
    learner_count_skip(run->learner, done.skipped);
    metric_list_add(metrics, done.skipped, "skipped");
    metric_list_add(metrics, (double)run->learner->skips.total, "skipped_total");
    metric_list_add(metrics, done.tokens_computed, "learn_tokens_computed");
    metric_list_add(metrics, done.tokens_pairs, "learn_tokens_pairs");
    metric_list_add(metrics, learning_rate(s, step), "learning_rate");
    return NULL;
}

bool supervised_evaluates(const struct run *run, int64_t step)
{
    const int64_t every = run->config->eval.every;
    return ((const struct supervised *)run)->held_out > 0 &&
           (step == run->updates || (every > 0 && step % every == 0));
}

struct run_watch supervised_watch(const struct run *run)
{
    const struct supervised *s = (const struct supervised *)run;
    struct run_watch watch = {.lower_is_better = true, .patience = s->patience};
    snprintf(watch.metric, sizeof watch.metric, "%s", s->watched);
    return watch;
}

status supervised_save(struct run *run, int64_t step)
{
    return run_checkpoint_save(&run->folder, run->learner, run->language, step, NULL);
}

status supervised_measure(struct supervised *s, size_t part_bytes, size_t item_bytes,
                          held_out_function *measure, void **all, size_t *total, bool *stopped)
{
    const struct learner_exchange *exchange = &s->run.learner->exchange;
    const int64_t mine = learner_microbatches(s->run.learner), first = mine * exchange->rank;
    const int64_t parts = mine * exchange->count;
    const int64_t from = slice_first(first, s->held_out, parts);
    const int64_t items = slice_first(first + mine, s->held_out, parts) - from;
    const size_t bytes = (size_t)mine * part_bytes + (size_t)items * item_bytes;
    char *records = memory_allocate(bytes + 1);
    status error = NULL;
    *all = NULL;
    for (int64_t i = 0; !error && i < mine && !signals_stop_asked(); i++) {
        const int64_t begin = slice_first(first + i, s->held_out, parts);
        const int64_t end = slice_first(first + i + 1, s->held_out, parts);
        error = measure(s, begin, end,
                        records + (size_t)i * part_bytes + (size_t)(begin - from) * item_bytes);
    }
    if (!error) error = world_stop_requested(s->run.world, stopped);
    if (!error && !*stopped)
        error = exchange->gather(exchange->context, records, bytes, all, total);
    free(records);
    return error;
}

void supervised_warn_overlong(const struct run *run, const char *path, int64_t count,
                              const char *what, int64_t line)
{
    if (!count || run->world->rank != 0) return;
    log_line(LOG_WARNING,
             "%s: %lld %s are left out, the first in line %lld: their prompt alone is longer than "
             "history.max_tokens (%lld)",
             path, (long long)count, what, (long long)line,
             (long long)run->config->history.max_tokens);
}

void supervised_warn_longer(const struct run *run, int64_t count, const char *what, int64_t line,
                            int64_t max)
{
    if (!count || run->world->rank != 0) return;
    log_line(LOG_WARNING,
             "%lld %s are left out, the first in line %lld: history and reply are longer than the "
             "%lld tokens of the model's longest sequence",
             (long long)count, what, (long long)line, (long long)max);
}

status supervised_describe(struct run *run, plan_function *plan, int64_t items, const char *what,
                           FILE *out)
{
    TRY(plan_print(run->queue, run->world, plan, run, out));
    if (run->frozen_count)
        fprintf(out, "# adapters: %lld parameters are trained, %lld of the base stand still\n",
                (long long)run->parameter_count, (long long)run->frozen_count);
    fprintf(out, "# %lld parameters, %lld %s to learn from, %d learners\n",
            (long long)run->parameter_count, (long long)items, what, run->world->roles.learners);
    return NULL;
}
