/* See run_loop.h. */
#include "mpi/run_loop.h"

#include "mpi/run_checkpoint.h"
#include "mpi/setup.h"
#include "mpi/signals.h"
#include "src/base/clock.h"
#include "src/base/log.h"

#include <math.h>
#include <string.h>

/* Why a run ends early.  Where ranks differ, the greatest holds. */
enum run_stop { STOP_NOT, STOP_PATIENCE, STOP_SIGNAL };

status run_open(struct run *run)
{
    const struct config *config = run->config;
    TRY(queue_open(config, run->world->local_rank, &run->queue));
    exchange_open(&run->exchange, run->world, run->queue);
    TRY(dataset_read(config->data.train, DATASET_TRAIN, &run->data));
    if (config->data.valid[0]) TRY(dataset_read(config->data.valid, DATASET_TRAIN, &run->valid));
    return language_open(config, config->model.path, run->data, &run->language);
}

status run_close(struct run *run)
{
    run_folder_close(&run->folder);
    language_close(run->language);
    if (run->data) dataset_free(run->data);
    if (run->valid) dataset_free(run->valid);
    if (run->queue) run->queue->op->destroy(run->queue);
    return NULL;
}

static status stop_agree(struct run *run, int64_t step, bool patience_over, int64_t *stop)
{
    run->world->step = step;
    bool asked = false;
    TRY(world_stop_requested(run->world, &asked));
    return world_maximum(run->world,
                         asked           ? STOP_SIGNAL
                         : patience_over ? STOP_PATIENCE
                                         : STOP_NOT,
                         stop);
}

/* "train 40: held out: eval_reward 0.41, eval_coverage 0.57, ..." */
static void evaluation_log(const struct run_kind *kind, int64_t step,
                           const struct metric_list *metrics)
{
    char line[4096];
    size_t used = 0;
    for (int64_t i = 0; i < metrics->count && used < sizeof line; i++)
        used += (size_t)snprintf(line + used, sizeof line - used, "%s%s %.4g", i ? ", " : "",
                                 metrics->list[i].name, metrics->list[i].value);
    if (used) log_line(LOG_INFO, "%s %lld: held out: %s", kind->name, (long long)step, line);
}

/* Held-out metrics after so many updates: recorded, compared with the best so far. */
static status evaluation(struct run *run, const struct run_kind *kind, int64_t step,
                         bool *patience_over)
{
    struct metric_list metrics = {.count = 0};
    const struct run_watch watch = kind->watch(run);
    TRY(kind->evaluate(run, step, &metrics));
    if (run->world->rank != 0) return NULL;
    TRY(run_folder_record(&run->folder, step, metrics.list, metrics.count));
    evaluation_log(kind, step, &metrics);
    const double watched = metric_list_value(&metrics, watch.metric);
    *patience_over = run_folder_judge(&run->folder, step,
                                      watch.lower_is_better ? -watched : watched, watch.patience);
    if (*patience_over)
        log_line(LOG_WARNING,
                 "update %lld: %s has not improved for %lld evaluations; stopping, the best is "
                 "step %lld",
                 (long long)step, watch.metric, (long long)run->folder.worse,
                 (long long)run->folder.best);
    return NULL;
}

static status update(struct run *run, const struct run_kind *kind, int64_t step)
{
    const double begun = seconds_now();
    struct metric_list metrics = {.count = 0};
    int64_t tokens = 0;
    run->world->step = step;
    TRY(kind->step(run, step, &metrics, &tokens));
    const double seconds = seconds_now() - begun;
    if (run->world->rank == 0) {
        const struct metric_list *change = &run->folder.change;
        for (int64_t i = 0; step == run->folder.start && i < change->count; i++)
            metric_list_add(&metrics, change->list[i].value, "%s", change->list[i].name);
        /* What a clock says comes last: the rest is the same on every machine. */
        metric_list_add(&metrics, seconds, "seconds");
        metric_list_add(&metrics, seconds > 0 ? (double)tokens / seconds : 0, "tokens_per_second");
        TRY(run_folder_report(&run->folder, step + 1, seconds, (double)tokens, metrics.list,
                              metrics.count));
    }
    plan_log_use(run->queue, "update", step + 1);
    return NULL;
}

static status updates(struct run *run, const struct run_kind *kind, int64_t *stop)
{
    const int64_t last = run->updates;
    int64_t done = run->folder.start;
    if (done >= last) return NULL;
    if (kind->begin) TRY(kind->begin(run));
    while (done < last && !*stop) {
        bool patience_over = false;
        TRY(update(run, kind, done++));
        if (kind->evaluates(run, done)) TRY(evaluation(run, kind, done, &patience_over));
        TRY(stop_agree(run, done, patience_over, stop));
        if (run_checkpoint_due(run->config, done, *stop || done == last))
            TRY(kind->save(run, done));
    }
    return kind->finish ? kind->finish(run, done) : NULL;
}

static status dry_run(struct run *run, const struct run_kind *kind)
{
    if (run->world->rank != 0) return NULL;
    TRY(config_print(run->config, stdout));
    return kind->describe(run, stdout);
}

status run_loop(struct run *run, const struct run_options *options, const struct run_kind *kind)
{
    struct world *world = run->world;
    int64_t stop = STOP_NOT;
    status s = run_folder_open(world, options, kind->name, &run->folder);
    if (!s) s = world_agree(world, kind->open(run));
    if (!s && options->dry)
        s = dry_run(run, kind);
    else if (!s) {
        /* A resume that is refused has written nothing. */
        s = world_agree(world, kind->resume(run));
        if (!s) s = world_agree(world, run_folder_start(&run->folder, run->updates));
        if (!s) s = world_agree(world, kind->connect(run));
        if (!s) {
            s = updates(run, kind, &stop);
            if (s) world_abort(world, s); /* others wait for this rank: end them all */
        }
        if (!s && stop == STOP_SIGNAL) s = run_stopped();
    }
    return status_first(s, kind->close(run));
}
