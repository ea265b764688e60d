/* See run_loop.h. */
#include "mpi/run_loop.h"

#include "kernels/profile.h"
#include "kernels/sleep.h"
#include "mpi/agreement.h"
#include "mpi/data.h"
#include "mpi/run_checkpoint.h"
#include "mpi/run_snapshot.h"
#include "mpi/setup.h"
#include "mpi/signals.h"
#include "src/base/clock.h"
#include "src/base/heartbeat.h"
#include "src/base/log.h"
#include "src/base/memory.h"
#include "src/base/trace.h"
#include "src/report/times.h"
#include "src/text/tokenizer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Why a run ends early.  Where ranks differ, the greatest holds. */
enum run_stop { STOP_NOT, STOP_PATIENCE, STOP_AUDIT, STOP_SKIPS, STOP_SIGNAL };

status run_open_queue(struct run *run)
{
    const struct config *config = run->config;
    TRY(queue_open(config, run->world->local_rank, run->world->size, &run->queue));
    if (queue_is_sleep(run->queue) && run->world->rank == 0)
        log_line(LOG_WARNING, "device: sleep is a timed stub: NOTHING IS COMPUTED and nothing "
                              "learned; only the times and counts of this run mean anything");
    if (run->profiled && run->world->rank == 0) TRY(profile_begin(run->queue, &run->profile));
    exchange_open(&run->exchange, run->world, run->queue);
    return NULL;
}

status run_open_data(struct run *run)
{
    const struct config *config = run->config;
    TRY(data_read(config, config->data.train, DATASET_TRAIN, &run->data));
    if (!config->data.valid[0]) return NULL;
    return data_read(config, config->data.valid, DATASET_TRAIN, &run->valid);
}

/* A model that is read with another tokenizer than its own is asked for, hardly ever meant. */
static void tokenizer_warn(const struct run *run)
{
    const struct config *config = run->config;
    struct tokenizer *own = NULL;
    bool same = true;
    if (run->world->rank != 0 || !config->tokenizer.path[0] || !config->model.path[0]) return;
    status s = tokenizer_open(config->model.path, &own);
    if (!s && own) s = tokenizer_same(own, run->language->tokenizer, &same);
    if (own) tokenizer_close(own);
    if (s) { /* why another one may have been given */
        status_free(s);
        return;
    }
    if (!same)
        log_line(
            LOG_WARNING,
            "tokenizer.path (%s) is another tokenizer than that of model.path: the model reads "
            "ids that it was not trained with; leave tokenizer.path out, or empty, to take its "
            "own",
            config->tokenizer.path);
}

status run_open_language(struct run *run, const struct dataset *data)
{
    const struct language_settings words = language_settings_of(run->config);
    TRY(language_open(&words, run->config->model.path, data, &run->language));
    tokenizer_warn(run);
    return NULL;
}

status run_open(struct run *run)
{
    TRY(run_open_queue(run));
    TRY(run_open_data(run));
    return run_open_language(run, run->data);
}

status run_close(struct run *run)
{
    status s = run_folder_close(&run->folder);
    rank_times_close(run->times);
    language_close(run->language);
    if (run->data) dataset_free(run->data);
    if (run->valid) dataset_free(run->valid);
    profile_end(run->profile);
    if (run->queue) run->queue->op->destroy(run->queue);
    return s;
}

void run_plan_snapshot(struct run *run, const struct learner *learner, int64_t past)
{
    const int64_t bytes = learner ? run_snapshot_bytes(learner, past) : 0;
    if (bytes > run->snapshot_bytes) run->snapshot_bytes = bytes;
}

/* Where actors are ahead: learners agree, actors look whether they were told. */
static status stop_ahead(struct run *run, int64_t own, int64_t *stop)
{
    bool asked = false;
    if (!run->learner) return run_end_heard(run->end, &asked, stop);
    if (run->world->rank == 0) TRY(run_end_asked(run->end, &asked));
    return run_end_agree(run->end, asked ? STOP_SIGNAL : own, stop);
}

/* All ranks agree on going on, after so many updates.  against: on rank 0, an audit wants an end.
 */
static status stop_agree(struct run *run, const struct run_kind *kind, int64_t done, bool against,
                         int64_t *stop)
{
    const struct run_watch watch = kind->watch(run);
    const bool over = run->world->rank == 0 && watch.patience > 0 &&
                      run->folder.evaluations.worse >= watch.patience;
    const int64_t skips = run->config->guard.max_skips;
    const bool skipped =
        run->learner && skips > 0 && done < run->updates && run->learner->skips.in_row >= skips;
    run->world->step = done;
    const int64_t own = signals_stop_asked() ? STOP_SIGNAL
                        : skipped            ? STOP_SKIPS
                        : against            ? STOP_AUDIT
                        : over               ? STOP_PATIENCE
                                             : STOP_NOT;
    return run->end ? stop_ahead(run, own, stop) : world_maximum(run->world, own, stop);
}

static bool ends(const char *name, const char *with)
{
    const size_t length = strlen(name), end = strlen(with);
    return length > end && !strcmp(name + length - end, with);
}

/* "train 40: held out: eval_reward 0.41, eval_coverage 0.57, ..."; errors and changes are in
 * metrics.jsonl. */
static void evaluation_log(const struct run_kind *kind, int64_t step,
                           const struct metric_list *metrics)
{
    char line[4096];
    size_t used = 0;
    for (int64_t i = 0; i < metrics->count && used < sizeof line; i++)
        if (!ends(metrics->list[i].name, "_error") && !ends(metrics->list[i].name, "_change"))
            used += (size_t)snprintf(line + used, sizeof line - used, "%s%s %.4g", i ? ", " : "",
                                     metrics->list[i].name, metrics->list[i].value);
    if (used) log_line(LOG_INFO, "%s %lld: held out: %s", kind->name, (long long)step, line);
}

/* Rank 0: compares an evaluation with the best so far.  The one before the first update is where a
 * run comes from, nothing to fall back to: it is not compared. */
static status evaluation_judge(struct run *run, const struct run_watch *watch, int64_t done,
                               double watched, bool saved)
{
    struct run_evaluations *e = &run->folder.evaluations;
    if (done == 0) {
        e->evaluated = 0;
        e->metric = NAN;
        return NULL;
    }
    evaluations_add(e, done, watch->lower_is_better ? -watched : watched);
    if (!saved) return NULL;
    evaluations_saved(e, done);
    run_folder_link(&run->folder, done);
    return NULL;
}

/* Held-out metrics after so many updates; saved: there is a checkpoint of these. */
static status evaluation(struct run *run, const struct run_kind *kind, int64_t done, bool saved)
{
    struct metric_list metrics = {.count = 0};
    const struct run_watch watch = kind->watch(run);
    bool stopped = false;
    run->world->step = done;
    timeline_begin(TIME_EVALUATE);
    status s = kind->evaluate(run, &metrics, &stopped);
    timeline_end();
    TRY(s);
    if (run->world->rank != 0 || stopped) return NULL;
    TRY(run_folder_record(&run->folder, done, metrics.list, metrics.count));
    evaluation_log(kind, done, &metrics);
    return evaluation_judge(run, &watch, done, metric_list_value(&metrics, watch.metric), saved);
}

/* The evaluation that is due where a run begins: before its first update, or where it was stopped
 * between a checkpoint and the evaluation behind it.  Metrics that are recorded already are taken
 * from there. */
static status evaluation_first(struct run *run, const struct run_kind *kind, bool saved)
{
    const int64_t done = run->folder.start;
    const struct run_watch watch = kind->watch(run);
    int64_t missing = 0;
    status s = NULL;
    if (!kind->evaluates(run, done)) return NULL;
    if (run->world->rank == 0 && run->folder.evaluations.evaluated != done) {
        bool found;
        double value;
        s = metrics_find(run->folder.options->folder, done, watch.metric, &found, &value);
        missing = !s && !found;
        if (!s && found) s = evaluation_judge(run, &watch, done, value, saved);
    }
    TRY(world_agree(run->world, s));
    TRY(world_maximum(run->world, missing, &missing));
    return missing ? evaluation(run, kind, done, saved) : NULL;
}

static status save(struct run *run, const struct run_kind *kind, int64_t done)
{
    timeline_begin(TIME_SAVE);
    status s = run->learner ? weights_watch_check_all(&run->learner->watch) : NULL;
    if (!s) s = kind->save(run, done);
    timeline_end();
    return s;
}

/* What is being written is published. */
static status save_finish(struct run *run)
{
    timeline_begin(TIME_SAVE);
    status s = run_checkpoint_finish(&run->folder);
    timeline_end();
    return s;
}

/* Of the updates since the line before: bytes that came to ranks, and where their time went.
 * by_rank: the text of a metric, which the caller frees. */
static void times_add(struct run *run, struct metric_list *metrics, char **by_rank)
{
    const int ranks = run->world->size;
    const double *times;
    const int64_t *bytes;
    rank_times_since(run->times, &times, &bytes);
    for (int k = 0; k < TRAFFIC_KINDS; k++)
        if (bytes[k])
            metric_list_add(metrics, (double)bytes[k], "bytes_%s",
                            traffic_kind_name((enum traffic_kind)k));
    times_measure(times, ranks, metrics);
    *by_rank = times_by_rank(times, ranks);
    metric_list_add_json(metrics, "time_by_rank", *by_rank);
}

/* Rank 0: an update's metrics, with where the ranks' time went at their end. */
static status update_report(struct run *run, int64_t step, double seconds, double tokens,
                            struct metric_list *metrics)
{
    enum { KINDS_SAID = 3 };
    const double *times;
    char text[512], *by_rank = NULL;
    TRY(rank_times_gather(run->times, step, &times));
    if (run_folder_due(&run->folder, step + 1)) times_add(run, metrics, &by_rank);
    times_text(times, run->world->size, KINDS_SAID, text, sizeof text);
    status s = run_folder_report(&run->folder, step + 1, seconds, tokens, text, metrics->list,
                                 metrics->count);
    free(by_rank);
    return s;
}

/* What errors of this rank's weights say, and whether learners compare theirs. */
static void update_name(struct run *run, int64_t done)
{
    const int64_t every = run->config->guard.replica_check;
    rank_name(run->world, done, run->here);
    if (!run->learner) return;
    run->learner->watch.who = run->here;
    run->learner->comparing = every > 0 && done % every == 0;
}

/* "policy_hash":"9f86d081884c7d65"; hash holds the text until it is written. */
static status policy_hash_measure(struct run *run, int64_t done, char hash[20],
                                  struct metric_list *metrics)
{
    char text[17];
    if (!run_folder_due(&run->folder, done)) return NULL;
    TRY(learner_policy_hash(run->learner, text));
    snprintf(hash, 20, "\"%s\"", text);
    metric_list_add_json(metrics, "policy_hash", hash);
    return NULL;
}

/* What a --change set, in the first line that follows. */
static void changes_add(struct run *run, int64_t done, struct metric_list *metrics)
{
    struct metric_list *change = &run->folder.change;
    if (!run_folder_due(&run->folder, done)) return;
    for (int64_t i = 0; i < change->count; i++)
        metric_list_add(metrics, change->list[i].value, "%s", change->list[i].name);
    change->count = 0;
}

static status update(struct run *run, const struct run_kind *kind, int64_t step)
{
    const double begun = seconds_now();
    const bool stub = queue_is_sleep(run->queue);
    const double worked = stub ? sleep_queue_worked(run->queue) : 0;
    struct metric_list metrics = {.count = 0};
    int64_t tokens = 0;
    run->world->step = step;
    update_name(run, step + 1);
    trace_step(step + 1);
    TRY(kind->step(run, step, &metrics, &tokens));
    const double seconds = seconds_now() - begun;
    if (run->world->roles.is_learner) TRY(rank_times_report(run->times, step));
    if (run->world->rank == 0) {
        char hash[20];
        TRY(policy_hash_measure(run, step + 1, hash, &metrics));
        changes_add(run, step + 1, &metrics);
        /* What a clock says comes last: the rest is the same on every machine. */
        metric_list_add(&metrics, seconds, "seconds");
        if (stub)
            metric_list_add(&metrics, sleep_queue_worked(run->queue) - worked,
                            "timed_stub_seconds");
        metric_list_add(&metrics, seconds > 0 ? (double)tokens / seconds : 0, "tokens_per_second");
        TRY(update_report(run, step, seconds, (double)tokens, &metrics));
    }
    plan_log_use(run->queue, "update", step + 1);
    return NULL;
}

/* What an audit found, where one was due: a line of its own. */
static status audit(struct run *run, const struct run_kind *kind, int64_t done, bool *against)
{
    struct metric_list metrics = {.count = 0};
    if (run->world->rank != 0 || !kind->audit) return NULL;
    kind->audit(run, done, &metrics, against);
    return metrics.count ? run_folder_record(&run->folder, done, metrics.list, metrics.count)
                         : NULL;
}

/* One update and all that is due after it. */
static status round_run(struct run *run, const struct run_kind *kind, int64_t step, int64_t *stop)
{
    const int64_t done = step + 1;
    const bool saved = run_checkpoint_due(run->config, done, done == run->updates);
    bool against = false;
    TRY(update(run, kind, step));
    TRY(audit(run, kind, done, &against));
    if (saved) TRY(save(run, kind, done));
    if (kind->evaluates(run, done)) TRY(evaluation(run, kind, done, saved));
    TRY(run_checkpoint_poll(&run->folder));
    /* After the last update there is nothing to end. */
    TRY(stop_agree(run, kind, done, against && done < run->updates, stop));
    return *stop && !saved ? save(run, kind, done) : NULL;
}

/* A run that guard.max_skips ended goes on when it is resumed: whoever does so has changed
 * something, or takes the risk of as many skips again. */
static void skips_begin(struct run *run)
{
    const int64_t most = run->config->guard.max_skips;
    if (run->learner && most > 0 && run->learner->skips.in_row >= most)
        run->learner->skips.in_row = 0;
}

/* An actor that was ahead to the end. */
static status end_await(struct run *run, int64_t *stop)
{
    bool heard;
    timeline_begin(TIME_WAIT_SLOWEST);
    status s = run_end_wait(run->end, NULL, NULL, "the learners' last update", &heard, stop);
    timeline_end();
    return s;
}

static status updates(struct run *run, const struct run_kind *kind, int64_t *done, int64_t *stop)
{
    const bool saved = run->folder.checkpoint[0] != 0;
    heartbeat_doing("the loop over updates");
    if (run->traced) {
        TRY(clock_compare(run->world, &run->clock));
        trace_open();
    }
    timeline_open("main");
    run->times = rank_times_open(run->world);
    *done = run->folder.start;
    skips_begin(run);
    TRY(evaluation_first(run, kind, saved));
    TRY(stop_agree(run, kind, *done, false, stop));
    if (*stop && !saved) TRY(save(run, kind, *done));
    if (*stop || *done >= run->updates) return save_finish(run);
    if (kind->begin) TRY(kind->begin(run));
    if (run->profile) profile_clear(run->profile);
    while (*done < run->updates && !*stop) TRY(round_run(run, kind, (*done)++, stop));
    if (run->end && run->world->rank == 0) TRY(run_end_tell(run->end, *stop));
    if (run->end && !run->learner) TRY(end_await(run, stop));
    TRY(save_finish(run));
    if (run->profile) profile_print(run->profile, "where the time of rank 0 went", stderr);
    return kind->finish ? kind->finish(run) : NULL;
}

/* Where the time of the whole run went. */
static status times_log(const struct run *run, const struct run_kind *kind, int64_t done)
{
    const int ranks = run->world->size;
    const double *times;
    char text[512], slowest[400];
    TRY(rank_times_finish(run->times, &times));
    if (!times || done == run->folder.start) return NULL;
    times_text(times, ranks, TIME_KINDS, text, sizeof text);
    times_slowest_text(times, ranks, world_host(run->world, times_slowest(times, ranks)), slowest,
                       sizeof slowest);
    log_line(LOG_INFO, "%s %lld: where the time went: %s%s", kind->name, (long long)done, text,
             slowest);
    return NULL;
}

/* What the ranks held, those of a large run by their greatest. */
static status memory_log(const struct run *run, const struct run_kind *kind, int64_t done)
{
    enum { LISTED = 16 };
    struct world *world = run->world;
    char list[LISTED * 24] = "";
    int64_t most;
    TRY(world_maximum(world, memory_peak(), &most));
    for (int rank = 0, used = 0; rank < world->size && world->size <= LISTED; rank++) {
        int64_t bytes;
        TRY(world_maximum(world, rank == world->rank ? memory_peak() : 0, &bytes));
        used += snprintf(list + used, sizeof list - (size_t)used, "%s%.2f",
                         rank ? ", " : "; by rank: ", (double)bytes * 1e-9);
    }
    if (world->rank == 0)
        log_line(LOG_INFO, "%s %lld: a rank held at most %.2f GB of memory%s", kind->name,
                 (long long)done, (double)most * 1e-9, world->size > 1 ? list : "");
    return NULL;
}

/* Why it ends here and which checkpoint to take. */
static void end_log(const struct run *run, const struct run_kind *kind, int64_t done, int64_t stop)
{
    const struct run_watch watch = kind->watch(run);
    const struct run_evaluations *e = &run->folder.evaluations;
    const double sign = watch.lower_is_better ? -1 : 1;
    if (run->world->rank != 0) return;
    if (stop == STOP_PATIENCE)
        log_line(
            LOG_WARNING,
            "%s %lld: %s has not improved for %lld evaluations, stopping; the best was %.4g at "
            "step %lld",
            kind->name, (long long)done, watch.metric, (long long)e->worse, sign * e->best_metric,
            (long long)e->best);
    if (done == 0)
        log_line(LOG_INFO, "%s 0: ends without an update; %s", kind->name,
                 stop == STOP_SIGNAL ? "checkpoints/newest is step 0" : "there is no checkpoint");
    else if (e->best_saved >= 0)
        log_line(LOG_INFO, "%s %lld: ends; the best checkpoint is step %lld, %s %.4g (%s)%s",
                 kind->name, (long long)done, (long long)e->best_saved, watch.metric,
                 sign * e->best_saved_metric, "checkpoints/best",
                 e->evaluated < done ? "; the newest was not evaluated" : "");
    else if (e->best > 0)
        log_line(LOG_INFO,
                 "%s %lld: ends; step %lld was evaluated best, %s %.4g, but no step has both a "
                 "checkpoint and an evaluation (checkpoint.every, eval.every); "
                 "checkpoints/newest is step %lld",
                 kind->name, (long long)done, (long long)e->best, watch.metric,
                 sign * e->best_metric, (long long)done);
    else
        log_line(LOG_INFO,
                 "%s %lld: ends; checkpoints/newest is step %lld, no update was evaluated",
                 kind->name, (long long)done, (long long)done);
}

static status dry_run(struct run *run, const struct run_kind *kind)
{
    if (run->world->rank != 0) return NULL;
    TRY(config_print(run->config, stdout));
    TRY(kind->describe(run, stdout));
    if (run->config->checkpoint.background)
        printf("# while a checkpoint is written a learner holds at most %.1f MB more on the host "
               "(checkpoint.background)\n",
               (double)run->snapshot_bytes * 1e-6);
    return NULL;
}

status run_loop(struct run *run, const struct run_options *options, const struct run_kind *kind)
{
    struct world *world = run->world;
    int64_t done = 0, stop = STOP_NOT;
    struct run_inputs inputs;
    run->profiled = options->profile && !options->dry;
    run->traced = options->trace && !options->dry;
    status s = agree_on_inputs(world, options, &inputs);
    if (!s) s = run_folder_open(world, options, kind->name, &inputs, &run->folder);
    heartbeat_doing("the opening of models and data");
    if (!s) s = world_agree(world, kind->open(run));
    if (!s && options->dry)
        s = dry_run(run, kind);
    else if (!s) {
        /* A resume that is refused has written nothing. */
        s = world_agree(world, kind->resume(run));
        if (!s) s = world_agree(world, run_folder_start(&run->folder, run->updates));
        if (!s) s = kind->connect(run);
        if (!s) {
            s = updates(run, kind, &done, &stop);
            if (!s) s = times_log(run, kind, done);
            if (!s && run->traced) s = trace_file_write(world, &run->clock, options->folder);
            if (!s) s = memory_log(run, kind, done);
            if (s) run_checkpoint_break(&run->folder, status_message(s));
            if (s) world_break(world); /* others wait for this rank */
            if (!s) end_log(run, kind, done, stop);
        }
        if (!s && stop == STOP_SIGNAL) s = run_stopped();
        if (!s && stop == STOP_SKIPS)
            s = ERROR(STATUS_SKIPS,
                      "ended by guard.max_skips: %lld updates in a row were skipped, since "
                      "gradients or rewards were not finite or too great; the checkpoint has the "
                      "weights of before; look at what gives reward, lower the learning rate or "
                      "raise a guard's bound (--change), then --resume, which counts from zero",
                      (long long)run->config->guard.max_skips);
        if (!s && stop == STOP_AUDIT)
            s = ERROR(STATUS_AUDIT, "ended by audit.action: stop, after a checkpoint; --resume "
                                    "goes on all the same");
    }
    timeline_close();
    trace_close();
    if (world_is_broken(world)) return s; /* what is open ends with the process */
    return status_first(s, kind->close(run));
}
