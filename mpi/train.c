/* The reinforcement loop over ranks.  Batch b is generated with the weights of update
 * b - pipeline.lag, always.  Version v of the weights exists after v updates.  In order:
 *   actor:   X(w0)  generate b  [S(v) X(v)]  generate b+1 ...
 *   learner: X(w0)  receive b, update, S(v), save, X(v) ...
 * S(v) is where all ranks agree on stopping, X(v) the exchange of version v. */
#include "mpi/plan.h"
#include "mpi/run.h"
#include "mpi/signals.h"
#include "mpi/trainer.h"
#include "mpi/weights.h"
#include "src/base/clock.h"
#include "src/base/log.h"
#include "src/base/memory.h"
#include "src/base/slices.h"

#include <stdlib.h>
#include <string.h>

/* Learner 0 and the actors, between their GPUs or through the host. */
static status weights_send(struct trainer *t, int64_t version, float *values)
{
    struct world *world = t->world;
    const struct ops *op = t->queue->op;
    const int64_t size = t->parameter_count;
    const bool by_host = !exchange_takes_weights(&t->exchange);
    float *to = world->is_actor ? model_parameters(t->actor_model)->values : NULL;
    if (by_host && values) {
        op->download(t->queue, t->wire, values, (size_t)size * sizeof *values);
        TRY(op->synchronize(t->queue));
    }
    TRY(weights_exchange(world, t->wire, t->wire_count, version));
    if (!by_host) TRY(exchange_weights(&t->exchange, values ? values : to, size));
    if (!to) return NULL;
    if (by_host) op->upload(t->queue, to, t->wire, (size_t)size * sizeof *to);
    return model_refresh_update(t->actor_model, version);
}

/* The newest weights. */
static float *policy_values(const struct trainer *t)
{
    return t->policy ? model_parameters(t->policy)->values : NULL;
}

/* X(v): weights on a learner's device to the actors, with the running statistics.  The values of
 * pure actors are NULL. */
static status weights_pass(struct trainer *t, int64_t version, float *values)
{
    struct world *world = t->world;
    float *statistics_wire = t->wire + t->wire_count - 2 * running_size(&t->reward);
    double statistics[RUNNING_MAX];
    const size_t bytes = (size_t)running_size(&t->reward) * sizeof *statistics;
    world->step = version;
    if (values) {
        running_save(&t->reward, &t->learner->statistics, statistics);
        memcpy(statistics_wire, statistics, bytes);
    }
    if (trainer_has_both_roles(t))
        model_take_values(t->actor_model, values, version); /* every learner has the same */
    else if (world->is_actor || world->rank == 0)
        TRY(weights_send(t, version, values));
    if (!world->is_actor) return NULL;
    memcpy(statistics, statistics_wire, bytes);
    return running_load(&t->reward, &t->rollout.statistics, statistics);
}

/* Waits for the last batch's messages to have left. */
static status outbox_empty(struct trainer *t)
{
    if (!t->outbox) return NULL;
    status s = experience_outbox_finish(t->outbox);
    experience_outbox_destroy(t->outbox);
    t->outbox = NULL;
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

/* Actor: its slice of batch b, each dialogue to its owner. */
static status batch_generate(struct trainer *t, int64_t batch, int64_t version)
{
    struct world *world = t->world;
    const int64_t dialogues = t->config->rollout.dialogues;
    const int64_t first = slice_first(world->actor, dialogues, world->actors);
    const int64_t count = slice_first(world->actor + 1, dialogues, world->actors) - first;
    if (!count) return NULL;
    TRY(version_check(t->actor_model, version));
    int64_t *ids = memory_allocate((size_t)count * sizeof *ids);
    struct experience **made = memory_allocate((size_t)count * sizeof *made);
    for (int64_t i = 0; i < count; i++) ids[i] = batch * dialogues + first + i;
    status s = rollout_dialogues(&t->rollout, ids, count, version, made);
    /* Sends go on while the next batch is generated: a learner takes this one only after the
     * exchange of weights that comes before it. */
    if (!s) s = outbox_empty(t);
    if (!s) t->outbox = experience_outbox_create(world);
    for (int64_t i = 0; !s && i < count; i++) {
        if (world->size == 1) {
            s = inbox_put(t->inbox, made[i], 0);
            made[i] = NULL;
        } else
            s = experience_outbox_add(t->outbox, made[i],
                                      (int)slice_owner(first + i, dialogues, world->learners));
    }
    for (int64_t i = 0; i < count; i++)
        if (made[i]) experience_destroy(made[i]);
    free(made);
    free(ids);
    return s;
}

/* Learner: one update from batch b. */
static status batch_learn(struct trainer *t, int64_t batch, bool *guard)
{
    const double begun = seconds_now();
    const int64_t count = inbox_count(t->inbox);
    struct experience **slots = memory_allocate((size_t)count * sizeof *slots);
    t->world->step = batch;
    status s = version_check(t->policy, batch);
    if (!s) s = inbox_receive(t->inbox, slots);
    if (!s && t->previous)
        t->queue->op->copy(t->queue, t->previous, policy_values(t),
                           (size_t)t->parameter_count * sizeof *t->previous);
    struct update_metrics metrics;
    if (!s) s = ppo_update(t->learner, slots, count, t->config->rollout.dialogues, batch, &metrics);
    if (!s && (metrics.policy.skipped || metrics.critic.skipped) && t->world->rank == 0)
        log_line(LOG_WARNING, "update %lld: a gradient was not finite, the step was skipped",
                 (long long)batch + 1);
    const int64_t every = t->config->eval.every;
    const bool look = every > 0 && (batch + 1) % every == 0;
    if (!s && t->world->rank == 0)
        s = trainer_report(t, batch + 1, seconds_now() - begun, &metrics);
    plan_log_use(t->queue, "update", batch + 1);
    if (!s && look) s = trainer_write_samples(t, batch + 1, slots, count);
    if (!s && look && t->valid && t->world->rank == 0) s = trainer_evaluate(t, batch + 1, guard);
    for (int64_t i = 0; i < count; i++) experience_destroy(slots[i]);
    free(slots);
    return s;
}

/* S(v): all ranks agree on stopping.  *stop: 0 go on, 1 the guard, 2 a signal. */
static status stop_agree(struct trainer *t, int64_t version, bool guard, int64_t *stop)
{
    t->world->step = version;
    int64_t mine = guard ? 1 : 0;
    bool asked = false;
    TRY(world_stop_requested(t->world, &asked));
    return world_maximum(t->world, asked ? 2 : mine, stop);
}

static status learner_save(struct trainer *t, int64_t version, int64_t stop)
{
    const int64_t updates = t->config->train.updates;
    if (!run_checkpoint_due(t->config, version, stop || version == updates)) return NULL;
    const bool lag = t->config->pipeline.lag > 0 && version < updates;
    return run_checkpoint_save(&t->folder, t->learner, t->language, version,
                               lag ? t->previous : NULL);
}

/* Lag 1, at a stop: the next batch was generated already; its messages are taken and dropped. */
static status batch_drain(struct trainer *t)
{
    const int64_t count = inbox_count(t->inbox);
    struct experience **slots = memory_allocate((size_t)count * sizeof *slots);
    status s = inbox_receive(t->inbox, slots);
    for (int64_t i = 0; i < count; i++) experience_destroy(slots[i]);
    free(slots);
    return s;
}

static status actor_loop(struct trainer *t, int64_t start, int64_t *stop)
{
    const int64_t updates = t->config->train.updates, lag = t->config->pipeline.lag;
    int64_t version = start > lag ? start - lag : 0;
    TRY(weights_pass(t, version, NULL));
    for (int64_t batch = start; batch < updates; batch++) {
        while (version < batch - lag) {
            version++;
            if (version > start) TRY(stop_agree(t, version, false, stop));
            if (*stop) return NULL;
            TRY(weights_pass(t, version, NULL));
        }
        TRY(batch_generate(t, batch, version));
    }
    while (!*stop && version < updates)
        if (++version > start) TRY(stop_agree(t, version, false, stop));
    return NULL;
}

static status learner_loop(struct trainer *t, int64_t start, int64_t *stop)
{
    const int64_t updates = t->config->train.updates, lag = t->config->pipeline.lag;
    const int64_t first = start > lag ? start - lag : 0;
    float *values = policy_values(t);
    if (start < updates || start == 0)
        TRY(weights_pass(t, first, first < start ? t->previous : values));
    if (first < start && start + lag < updates) TRY(weights_pass(t, start, values));
    for (int64_t batch = start; batch < updates && !*stop; batch++) {
        bool guard = false;
        TRY(batch_learn(t, batch, &guard));
        const int64_t version = batch + 1;
        TRY(stop_agree(t, version, guard, stop));
        TRY(learner_save(t, version, *stop));
        if (*stop && lag > 0 && version < updates) TRY(batch_drain(t));
        if (!*stop && version + lag < updates) TRY(weights_pass(t, version, values));
    }
    return NULL;
}

/* Every rank generates, then learns. */
static status both_loop(struct trainer *t, int64_t start, int64_t *stop)
{
    const int64_t updates = t->config->train.updates, lag = t->config->pipeline.lag;
    for (int64_t batch = start; batch < updates && !*stop; batch++) {
        const int64_t version = batch > lag ? batch - lag : 0;
        TRY(weights_pass(t, version, version < batch ? t->previous : policy_values(t)));
        TRY(batch_generate(t, batch, version));
        bool guard = false;
        TRY(batch_learn(t, batch, &guard));
        TRY(stop_agree(t, batch + 1, guard, stop));
        TRY(learner_save(t, batch + 1, *stop));
    }
    return NULL;
}

/* The checkpoint, where there is one; *lagging: its weights of one update before, or NULL. */
static status trainer_resume(struct trainer *t, float **lagging)
{
    const int64_t start = t->folder.start;
    if (t->world->is_learner && t->folder.checkpoint[0])
        TRY(run_checkpoint_load(&t->folder, t->learner, lagging));
    if (t->config->pipeline.lag > 0 && start > 0 && start < t->config->train.updates &&
        t->world->rank == 0 && !*lagging)
        FAIL(STATUS_INPUT,
             "%s was saved as a run's last step at pipeline.lag 1; it has no weights to go on "
             "with",
             t->folder.checkpoint);
    return NULL;
}

static status loops_run(struct trainer *t, const float *lagging, int64_t *stop)
{
    const int64_t start = t->folder.start;
    if (start >= t->config->train.updates) return NULL;
    if (t->previous && lagging)
        t->queue->op->upload(t->queue, t->previous, lagging,
                             (size_t)t->parameter_count * sizeof *lagging);
    status s = t->queue->op->synchronize(t->queue);
    if (!s)
        s = trainer_has_both_roles(t) ? both_loop(t, start, stop)
            : t->world->is_learner    ? learner_loop(t, start, stop)
                                      : actor_loop(t, start, stop);
    if (!s) s = outbox_empty(t);
    if (s) world_abort(t->world, s); /* others wait for this rank: end them all */
    return NULL;
}

status train_run(struct world *world, const struct run_options *options)
{
    struct trainer t = {
        .config = &options->config, .reward = reward_settings_of(&options->config), .world = world};
    int64_t stop = 0;
    status s = run_folder_open(world, options, "train", &t.folder);
    if (!s) s = world_agree(world, trainer_open(&t));
    if (!s && options->dry) {
        if (world->rank == 0) {
            s = config_print(t.config, stdout);
            if (!s) s = trainer_print_roles(&t, stdout);
        }
    } else if (!s) {
        /* A resume that is refused has written nothing. */
        float *lagging = NULL;
        s = world_agree(world, trainer_resume(&t, &lagging));
        if (!s) s = world_agree(world, run_folder_start(&t.folder, t.config->train.updates));
        if (!s) s = world_agree(world, trainer_connect(&t));
        if (!s) s = loops_run(&t, lagging, &stop);
        free(lagging);
        if (!s && stop == 2) s = run_stopped();
    }
    return status_first(s, trainer_close(&t));
}
