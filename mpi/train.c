/* Reinforcement learning over ranks, as a kind of run.  Batch b is generated with the weights of
 * update b - pipeline.lag, always.  Version v of the weights exists after v updates; X(v) is its
 * way to the actors.  Step b is, on
 *   actors:   X(b)  generate b + lag
 *   learners: X(b)  receive b, update
 * after batches b to b + lag - 1 were begun (train_begin and the steps before), each with its own
 * X; the first ones, up to batch lag, are all generated with version 0.  So actors are up to lag
 * batches ahead.  Learner 0 keeps the last lag versions: a run that goes on from a checkpoint
 * generates what was in flight again.
 * Behind a step all ranks agree whether to go on.  From lag 2 on, where weights are streamed,
 * learners alone do (run_end.h): an actor waits for nothing but weights, a learner for nothing but
 * its batch and other learners, so that batches which are there make up for a slow one.
 * Ranks that have both roles do not generate ahead: step b is X(b - lag), generate b, update. */
#include "kernels/sleep.h"
#include "mpi/replicas.h"
#include "mpi/run.h"
#include "mpi/running_exchange.h"
#include "mpi/trainer.h"
#include "src/base/log.h"
#include "src/base/memory.h"
#include "src/base/philox.h"
#include "src/base/progress.h"

#include <stdlib.h>
#include <string.h>

/* Learner 0 and the actors, between their GPUs. */
static status weights_send(struct trainer *t, int64_t version, float *values, double *statistics)
{
    float *to = t->actor_model ? model_trained(t->actor_model)->values : NULL;
    TRY(running_exchange(t->run.world, statistics, running_size(&t->settings.reward), version));
    TRY(exchange_weights(&t->run.exchange, values ? values : to, t->run.parameter_count));
    return to ? model_refresh_update(t->actor_model, version) : NULL;
}

static size_t statistics_bytes(const struct trainer *t)
{
    return (size_t)running_size(&t->settings.reward) * sizeof(double);
}

static status statistics_take(struct trainer *t, const void *from)
{
    double statistics[RUNNING_MAX];
    memcpy(statistics, from, statistics_bytes(t));
    return running_load(&t->settings.reward, &t->rollout.statistics, statistics);
}

/* Learner 0: a version is there, and what is left of it leaves. */
static status version_publish(struct trainer *t, int64_t version, const float *values)
{
    double statistics[RUNNING_MAX];
    if (!t->stream || !trainer_wants(t, version)) return NULL;
    running_save(&t->settings.reward, &t->run.learner->statistics, statistics);
    timeline_begin(TIME_SEND);
    status s = weight_stream_publish(t->stream, version, values, statistics);
    timeline_end();
    return s;
}

/* An actor: the version that is due, from what has come meanwhile. */
static status version_take(struct trainer *t, int64_t version)
{
    struct queue *q = t->run.queue;
    const float *values;
    const void *statistics;
    timeline_begin(TIME_WAIT_WEIGHTS);
    status s = weight_stream_take(t->stream, version, &values, &statistics);
    timeline_end();
    TRY(s);
    if (q->on_host)
        model_take_values(t->actor_model, values, version);
    else {
        q->op->upload(q, model_trained(t->actor_model)->values, values,
                      (size_t)t->run.parameter_count * sizeof *values);
        TRY(model_refresh_update(t->actor_model, version));
    }
    TRY(statistics_take(t, statistics));
    weight_stream_taken(t->stream);
    return NULL;
}

/* An actor has new weights, packed. */
static status weights_taken(struct trainer *t)
{
    if (t->run.config->guard.replica_check == 0) return NULL;
    TRY(weights_watch_take(&t->watch, 0));
    return matrices_watch_take(t->policy_matrices);
}

/* They are what it took. */
static status weights_check(struct trainer *t)
{
    if (t->run.config->guard.replica_check == 0) return NULL;
    t->watch.who = t->run.here;
    TRY(weights_watch_check_all(&t->watch));
    TRY(matrices_watch_check(t->policy_matrices, t->run.here, "policy"));
    TRY(matrices_watch_check(t->base_matrices, t->run.here, "adapters' base"));
    return weights_watch_begin(&t->watch);
}

/* The newest weights. */
static float *policy_values(const struct trainer *t)
{
    return t->policy ? model_trained(t->policy)->values : NULL;
}

/* X(v): weights on a learner's device to the actors, with the running statistics.  The values of
 * pure actors are NULL.  What goes through the host learner 0 published when it had it. */
static status weights_pass(struct trainer *t, int64_t version, float *values)
{
    struct world *world = t->run.world;
    world->step = version;
    t->version = version;
    if (t->stream) {
        if (!world->roles.is_actor) return NULL;
        TRY(version_take(t, version));
        return weights_taken(t);
    }
    double statistics[RUNNING_MAX] = {0};
    if (values) running_save(&t->settings.reward, &t->run.learner->statistics, statistics);
    if (roles_both(&world->roles))
        model_take_values(t->actor_model, values, version); /* every learner has the same */
    else if (world->roles.is_actor || world->rank == 0) {
        timeline_begin(world->rank == 0 ? TIME_SEND : TIME_WAIT_WEIGHTS);
        status s = weights_send(t, version, values, statistics);
        timeline_end();
        TRY(s);
    }
    if (!world->roles.is_actor) return NULL;
    TRY(weights_taken(t));
    return statistics_take(t, statistics);
}

static struct experience_outbox **outbox_of(struct trainer *t, int64_t batch)
{
    const int64_t lag = t->run.config->pipeline.lag;
    return &t->outboxes[lag > 1 ? batch % (lag + 1) : 0];
}

/* Waits for its messages to have left. */
static status outbox_empty(struct experience_outbox **outbox)
{
    if (!*outbox) return NULL;
    status s = experience_outbox_finish(*outbox);
    experience_outbox_destroy(*outbox);
    *outbox = NULL;
    return s;
}

/* What samples and what learns rounds its weights by their version: it must be the one that is due.
 */
static status version_check(const struct model *model, int64_t due)
{
    const struct model_version version = model_version(model);
    if (version.update == due && version.step == 0) return NULL;
    FAIL(STATUS_INTERNAL, "weights of update %lld, step %lld, where update %lld's were due",
         (long long)version.update, (long long)version.step, (long long)due);
}

/* Dialogues of a batch, each to its owner.  *begun: the batch's outbox is there. */
static status part_generate(struct trainer *t, int64_t batch, int64_t version,
                            const struct slice *part, bool *begun)
{
    struct world *world = t->run.world;
    const int64_t dialogues = t->run.config->rollout.dialogues;
    int64_t *ids = memory_allocate((size_t)part->count * sizeof *ids);
    struct experience **made = memory_allocate((size_t)part->count * sizeof *made);
    for (int64_t i = 0; i < part->count; i++) ids[i] = batch * dialogues + part->first + i;
    timeline_begin(TIME_GENERATE);
    status s = rollout_dialogues(&t->rollout, ids, part->count, version, made);
    timeline_end();
    /* Nothing that other weights made is learned from. */
    rank_name(t->run.world, batch + 1, t->run.here);
    if (!s) s = weights_check(t);
    /* Sends go on while the next parts and batches are generated: a learner takes this batch only
     * after the exchanges of weights that come before it. */
    struct experience_outbox **outbox = outbox_of(t, batch);
    if (!s && !*begun) s = outbox_empty(outbox);
    if (!s && !*begun) *outbox = experience_outbox_create(world);
    *begun = true;
    for (int64_t i = 0; !s && i < part->count; i++) {
        if (world->size == 1) {
            s = inbox_put(t->inbox, made[i], 0);
            made[i] = NULL;
        } else {
            const int owner = roles_owner(&world->roles, part->first + i, dialogues);
            t->sent[owner]++;
            s = experience_outbox_add(*outbox, made[i], owner);
        }
    }
    for (int64_t i = 0; i < part->count; i++)
        if (made[i]) experience_destroy(made[i]);
    free(made);
    free(ids);
    return s;
}

/* sleep.jitter: this rank's time for a batch, as an actor or a learner. */
static void batch_pace(const struct trainer *t, int64_t batch, bool learns)
{
    const struct config *config = t->run.config;
    const uint32_t counter[4] = {(uint32_t)t->run.world->rank, (uint32_t)batch,
                                 (uint32_t)(batch >> 32), learns};
    if (config->sleep.jitter > 0 && queue_is_sleep(t->run.queue))
        sleep_queue_pace(t->run.queue,
                         philox_jitter(config->sleep.jitter, (uint64_t)config->seed, counter));
}

/* Actor: its slice of a batch, whole or, with rollout.steal, in parts that others may take and with
 * parts of theirs. */
static status slice_generate(struct trainer *t, int64_t batch, int64_t version)
{
    const struct world *world = t->run.world;
    struct slice part = roles_generated(&world->roles, t->run.config->rollout.dialogues);
    bool begun = false;
    TRY(version_check(t->actor_model, version));
    batch_pace(t, batch, false);
    if (!t->stealing) return part.count ? part_generate(t, batch, version, &part, &begun) : NULL;
    for (;;) {
        TRY(stealing_next(t->stealing, batch, &part));
        if (!part.count) return NULL;
        TRY(part_generate(t, batch, version, &part, &begun));
    }
}

static status batch_generate(struct trainer *t, int64_t batch, int64_t version)
{
    TRY(slice_generate(t, batch, version));
    return t->run.world->roles.is_learner ? NULL : rank_times_report(t->run.times, batch);
}

static void skip_log(const struct trainer *t, int64_t update, const struct update_metrics *m)
{
    if (m->broken)
        log_line(LOG_WARNING,
                 "update %lld was skipped: of %lld replies a log-probability, value or reward is "
                 "not finite, or a reward beyond guard.reward_max (%g)",
                 (long long)update, (long long)m->broken, t->run.config->guard.reward_max);
    else
        log_line(LOG_WARNING,
                 "update %lld: a gradient was not finite, or longer than guard.gradient_norm_max "
                 "(%g): the step was skipped",
                 (long long)update, t->run.config->guard.gradient_norm_max);
}

/* Learner: one update from a batch. */
static status batch_learn(struct trainer *t, int64_t batch, struct metric_list *list,
                          int64_t *tokens)
{
    const struct config *config = t->run.config;
    const int64_t count = inbox_count(t->inbox), every = config->eval.every;
    struct experience **slots = memory_allocate((size_t)count * sizeof *slots);
    t->run.world->step = t->learned = batch;
    status s = version_check(t->policy, batch);
    if (!s) s = inbox_receive(t->inbox, slots);
    batch_pace(t, batch, true);
    if (!s && t->past.lag) past_weights_keep(&t->past, batch, policy_values(t));
    struct update_metrics metrics;
    const bool sampled = every > 0 && (batch + 1) % every == 0;
    if (!s && sampled) trainer_record_tokens(t, slots, count);
    if (!s)
        s = ppo_update(t->run.learner, slots, count, config->rollout.dialogues, batch, &metrics);
    if (!s && t->run.world->rank == 0) s = version_publish(t, batch + 1, policy_values(t));
    if (!s) {
        if (metrics.skipped && t->run.world->rank == 0) skip_log(t, batch + 1, &metrics);
        t->audit = metrics.audit;
        trainer_measure(t, batch, &metrics, list);
        trainer_measure_rates(t, batch, list);
        *tokens = metrics.tokens;
        if (sampled) s = trainer_write_samples(t, batch + 1, slots, count);
    }
    for (int64_t i = 0; i < count; i++) experience_destroy(slots[i]);
    free(slots);
    return s;
}

/* The checkpoint, where there is one. */
static status train_resume(struct run *run)
{
    struct trainer *t = (struct trainer *)run;
    const int64_t start = run->folder.start, lag = run->config->pipeline.lag;
    if (!run->world->roles.is_learner || !run->folder.checkpoint[0]) return NULL;
    TRY(run_checkpoint_load(&run->folder, run->learner, t->past.lag ? &t->past : NULL));
    if (run->world->rank == 0) trainer_resume_evaluations(t);
    if (!t->past.lag || start >= run->updates) return NULL;
    for (int64_t version = start > lag ? start - lag : 0; version < start; version++)
        if (!past_weights_of(&t->past, version))
            FAIL(STATUS_INPUT,
                 "%s was saved as a run's last step at pipeline.lag %lld; it has no weights to go "
                 "on with",
                 run->folder.checkpoint, (long long)lag);
    return NULL;
}

/* The weights of the batch, those of update `newest` at most, to where it is generated. */
static status batch_weights(struct trainer *t, int64_t batch, int64_t newest)
{
    const int64_t lag = t->run.config->pipeline.lag, version = batch > lag ? batch - lag : 0;
    if (t->version == version) return NULL;
    return weights_pass(t, version,
                        version < newest ? past_weights_of(&t->past, version) : policy_values(t));
}

/* What an actor that is ahead moves on while it generates: learners ask for its messages then. */
static void actor_poll(void *context)
{
    struct trainer *t = context;
    weight_stream_poll(t->stream);
    transport_progress(t->run.world);
}

/* From lag 2 on, and where weights wait for nobody, neither does any rank in an agreement. */
static status ahead_begin(struct trainer *t)
{
    struct run *run = &t->run;
    int64_t meets;
    if (run->config->pipeline.lag < 2) return NULL;
    TRY(world_maximum(run->world, exchange_takes_weights(&run->exchange), &meets));
    if (meets) return NULL;
    TRY(run_end_open(run->world, &run->end));
    if (run->world->roles.is_actor) progress_set(actor_poll, t);
    return NULL;
}

/* Batches of which the weights are there. */
static status train_begin(struct run *run)
{
    struct trainer *t = (struct trainer *)run;
    const int64_t start = run->folder.start, lag = run->config->pipeline.lag;
    t->sent = memory_allocate((size_t)run->world->roles.learners * sizeof *t->sent);
    if (roles_both(&run->world->roles)) return NULL;
    TRY(ahead_begin(t));
    for (int64_t v = t->first_version; run->world->rank == 0 && v <= start; v++)
        TRY(version_publish(t, v, v < start ? past_weights_of(&t->past, v) : policy_values(t)));
    for (int64_t batch = start; batch < start + lag && batch < run->updates; batch++) {
        TRY(batch_weights(t, batch, start));
        if (run->world->roles.is_actor) TRY(batch_generate(t, batch, t->version));
    }
    return NULL;
}

static bool weights_there(void *context)
{
    return weight_stream_there(context);
}

/* An actor that is ahead: waits for a batch's weights, or until it is told that none come. */
static status weights_await(struct trainer *t, int64_t batch, bool *over)
{
    const int64_t lag = t->run.config->pipeline.lag;
    int64_t why;
    if (t->version == batch - lag) return run_end_heard(t->run.end, over, &why);
    timeline_begin(TIME_WAIT_WEIGHTS);
    status s =
        run_end_wait(t->run.end, weights_there, t->stream, "the stream of weights", over, &why);
    timeline_end();
    return s;
}

/* An actor's part of a step; `end` of the run is looked for before every batch. */
static status batch_ahead(struct trainer *t, int64_t step, int64_t batch)
{
    bool over = false;
    if (t->run.end) TRY(weights_await(t, batch, &over));
    if (over) return NULL;
    TRY(batch_weights(t, batch, step));
    /* MPI moves messages only while it is called, and learners ask for this batch's now. */
    if (!t->run.end) TRY(outbox_empty(outbox_of(t, step)));
    return batch_generate(t, batch, t->version);
}

static status train_step(struct run *run, int64_t step, struct metric_list *metrics,
                         int64_t *tokens)
{
    struct trainer *t = (struct trainer *)run;
    const int64_t ahead = roles_both(&run->world->roles) ? 0 : run->config->pipeline.lag;
    if (step + ahead < run->updates)
        TRY(run->world->roles.is_actor ? batch_ahead(t, step, step + ahead)
                                       : batch_weights(t, step + ahead, step));
    if (!run->world->roles.is_learner) return NULL;
    timeline_begin(TIME_LEARN);
    status s = batch_learn(t, step, metrics, tokens);
    timeline_end();
    return s;
}

static bool train_evaluates(const struct run *run, int64_t step)
{
    const int64_t every = run->config->eval.every;
    return run->valid && every > 0 && step % every == 0;
}

static status train_evaluate(struct run *run, struct metric_list *metrics, bool *stopped)
{
    return run->world->rank == 0 ? trainer_evaluate((struct trainer *)run, metrics, stopped) : NULL;
}

static void train_audit(struct run *run, int64_t done, struct metric_list *metrics, bool *against)
{
    const struct trainer *t = (const struct trainer *)run;
    if (!t->audit.due) return;
    trainer_audit(t, done, metrics);
    *against = t->audit.alarm != AUDIT_FINE && run->config->audit.action == AUDIT_STOP;
}

static struct run_watch train_watch(const struct run *run)
{
    const char *metric = run->config->guard.metric;
    struct run_watch watch = {.lower_is_better = !strcmp(metric, "perplexity"),
                              .patience = run->config->guard.patience};
    snprintf(watch.metric, sizeof watch.metric, "eval_%.48s", metric);
    return watch;
}

static status train_save(struct run *run, int64_t step)
{
    struct trainer *t = (struct trainer *)run;
    if (!run->world->roles.is_learner) return NULL;
    const bool past = t->past.lag > 0 && step < run->updates;
    return run_checkpoint_save(&run->folder, run->learner, run->language, step,
                               past ? &t->past : NULL);
}

/* What was generated for updates that were not made is taken and dropped. */
static status train_finish(struct run *run)
{
    struct trainer *t = (struct trainer *)run;
    const struct roles *roles = &run->world->roles;
    if (!roles_both(roles)) {
        TRY(world_sum(run->world, t->sent, roles->learners));
        if (roles->is_learner) TRY(inbox_drain(t->inbox, t->sent[roles->learner]));
    }
    for (int i = 0; i <= PIPELINE_LAG_MAX; i++) TRY(outbox_empty(&t->outboxes[i]));
    if (run->end) TRY(run_end_finish(run->end));
    return t->stream ? weight_stream_end(t->stream) : NULL;
}

/* The judge of audits is a source like any other: of weight 0 where none is given. */
static struct config config_with_judge(const struct config *given)
{
    struct config config = *given;
    struct config_weights *sources = &config.reward.sources;
    if (config.audit.every == 0 || sources->listed[config.audit.judge]) return config;
    bool any = false;
    for (int i = 0; i < SOURCE_COUNT; i++) any |= sources->listed[i];
    if (!any) {
        sources->listed[SOURCE_ATTENTION] = true;
        sources->weight[SOURCE_ATTENTION] = 1;
    }
    sources->listed[config.audit.judge] = true;
    sources->weight[config.audit.judge] = 0;
    return config;
}

status train_run(struct world *world, const struct run_options *options)
{
    static const struct run_kind kind = {.name = "train",
                                         .open = trainer_open,
                                         .describe = trainer_describe,
                                         .resume = train_resume,
                                         .connect = trainer_connect,
                                         .begin = train_begin,
                                         .step = train_step,
                                         .evaluates = train_evaluates,
                                         .evaluate = train_evaluate,
                                         .audit = train_audit,
                                         .watch = train_watch,
                                         .save = train_save,
                                         .finish = train_finish,
                                         .close = trainer_close};
    const struct config config = config_with_judge(&options->config);
    struct trainer t = trainer_of(&config, world);
    return run_loop(&t.run, options, &kind);
}
