/* The reinforcement loop over ranks.  Batch b is generated with the weights of update
 * b - pipeline.lag, always.  Version v of the weights exists after v updates.  In order:
 *   actor:   X(w0)  generate b  [S(v) X(v)]  generate b+1 ...
 *   learner: X(w0)  receive b, update, S(v), save, X(v) ...
 * S(v) is where all ranks agree on stopping, X(v) the exchange of version v. */
#include "mpi/experience.h"
#include "mpi/folder.h"
#include "mpi/run.h"
#include "mpi/signals.h"
#include "mpi/weights.h"
#include "src/base/arena.h"
#include "src/base/file.h"
#include "src/base/json.h"
#include "src/base/log.h"
#include "src/checkpoint/model_folder.h"
#include "src/learn/evaluate.h"
#include "src/reward/terms.h"
#include "src/rollout/dialogues.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct trainer {
    const struct config *config;
    struct world *world;
    struct run_folder folder;
    struct queue *queue;
    struct dataset *data, *valid;
    struct language *language;
    /* learner */
    struct t5 *policy, *reference;
    struct learner *learner;
    struct generator *evaluator;
    float *previous;             /* lag 1, learner 0: weights before the last update */
    struct experience **pending; /* came early, of later batches */
    int64_t pending_count;
    /* actor */
    struct t5 *actor_model, *scorer_model, *user_model;
    struct rollout rollout;
    struct experience_outbox *outbox; /* messages that are still leaving, NULL: none */
    /* weights with the running statistics behind them */
    float *wire;
    int64_t wire_count;
};

static double seconds_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static bool frozen_needed(const struct config *config)
{
    return config->scorer == SCORER_FROZEN;
}

static status actor_open(struct trainer *t)
{
    const struct config *config = t->config;
    TRY(run_model_open(config, t->queue, false, t->language, &t->actor_model));
    t->rollout =
        (struct rollout){.config = config, .history = &t->language->history, .data = t->data};
    TRY(generator_create(t->actor_model, &t->rollout.policy));
    if (frozen_needed(config)) {
        TRY(run_model_open(config, t->queue, false, t->language, &t->scorer_model));
        TRY(generator_create(t->scorer_model, &t->rollout.scorer));
    }
    if (config->rollout.user == USER_MODEL) {
        if (!config->model.user_path[0])
            FAIL(STATUS_INPUT, "rollout.user: model needs model.user_path (see sft --role user)");
        TRY(model_open(config->model.user_path, t->queue, false, &t->user_model));
        TRY(generator_create(t->user_model, &t->rollout.user));
    }
    return NULL;
}

static status learner_open(struct trainer *t)
{
    const struct config *config = t->config;
    TRY(run_model_open(config, t->queue, true, t->language, &t->policy));
    if (config->kl.coef > 0)
        TRY(run_model_open(config, t->queue, false, t->language, &t->reference));
    struct learner_exchange exchange;
    run_exchange(t->world, &exchange);
    TRY(learner_create(config, &exchange, t->policy, t->reference,
                       config->advantage != ADVANTAGE_GROUP, &t->learner));
    if (t->world->rank == 0) TRY(generator_create(t->policy, &t->evaluator));
    return NULL;
}

static status data_open(struct trainer *t)
{
    const struct config *config = t->config;
    TRY(dataset_read(config->data.train, DATASET_TRAIN, &t->data));
    for (int64_t d = 0; d < t->data->count; d++)
        if (t->data->dialogues[d].has_tokens)
            FAIL(STATUS_INPUT, "%s:%lld: train needs dialogues, this is a token line",
                 t->data->path, (long long)t->data->dialogues[d].line);
    if (config->rollout.dialogues > t->data->count)
        FAIL(STATUS_INPUT, "rollout.dialogues is %lld but %s has %lld dialogues; lower it",
             (long long)config->rollout.dialogues, t->data->path, (long long)t->data->count);
    if (config->data.valid[0]) TRY(dataset_read(config->data.valid, DATASET_TRAIN, &t->valid));
    TRY(language_open(config, config->model.path, t->data, &t->language));
    if (!t->language->tokenizer)
        FAIL(STATUS_INPUT, "%s holds no tokenizer; set tokenizer.path",
             config->model.path[0] ? config->model.path : "the configuration");
    return NULL;
}

static status trainer_open(struct trainer *t)
{
    const struct config *config = t->config;
    if (config->device == DEVICE_CUDA)
        FAIL(STATUS_INPUT, "device: cuda is not in this build; set device: cpu");
    TRY(cpu_queue_create((int)config->threads, config->instructions, &t->queue));
    TRY(data_open(t));
    bool known = false;
    for (int k = 0; k < EVAL_COUNT; k++)
        known = known || !strcmp(evaluation_name[k], config->guard.metric);
    if (!known)
        FAIL(STATUS_INPUT, "guard.metric is \"%s\"; it is a row of eval's table, like ROUGE-L",
             config->guard.metric);
    if (t->world->is_learner) TRY(learner_open(t));
    if (t->world->is_actor) TRY(actor_open(t));
    struct t5 *any = t->policy ? t->policy : t->actor_model;
    const int64_t size = tokenizer_size(t->language->tokenizer);
    if (size > t5_shape(any)->vocabulary)
        FAIL(STATUS_INPUT, "the tokenizer has %lld ids, the model's vocabulary %lld",
             (long long)size, (long long)t5_shape(any)->vocabulary);
    t->wire_count = t5_parameters(any)->size + 2 * RUNNING_SIZE;
    t->wire = memory_allocate((size_t)t->wire_count * sizeof *t->wire);
    return NULL;
}

static void trainer_close(struct trainer *t)
{
    run_folder_close(&t->folder);
    for (int64_t i = 0; i < t->pending_count; i++) experience_destroy(t->pending[i]);
    free(t->pending);
    generator_destroy(t->evaluator);
    generator_destroy(t->rollout.policy);
    generator_destroy(t->rollout.scorer);
    generator_destroy(t->rollout.user);
    learner_free(t->learner);
    struct t5 *models[] = {t->policy, t->reference, t->actor_model, t->scorer_model, t->user_model};
    for (size_t i = 0; i < sizeof models / sizeof *models; i++)
        if (models[i]) t5_destroy(models[i]);
    language_close(t->language);
    if (t->data) dataset_free(t->data);
    if (t->valid) dataset_free(t->valid);
    free(t->previous);
    free(t->wire);
    if (t->queue) t->queue->op->destroy(t->queue);
}

/* X(v): learner 0's weights (the lagging ones where lag asks for them) to the actors. */
static status weights_pass(struct trainer *t, int64_t version, const float *lagging)
{
    struct world *world = t->world;
    const int64_t size = t->wire_count - 2 * RUNNING_SIZE;
    world->step = version;
    if (world->rank == 0) {
        if (lagging)
            memcpy(t->wire, lagging, (size_t)size * sizeof *t->wire);
        else
            TRY(parameters_download(t5_parameters(t->policy), t->wire));
        double statistics[RUNNING_SIZE];
        running_save(&t->learner->statistics, statistics);
        memcpy(t->wire + size, statistics, sizeof statistics);
    }
    if (world->size > 1) TRY(weights_exchange(world, t->wire, t->wire_count, version));
    if (!world->is_actor) return NULL;
    TRY(parameters_upload(t5_parameters(t->actor_model), t->wire));
    TRY(t5_refresh(t->actor_model));
    double statistics[RUNNING_SIZE];
    memcpy(statistics, t->wire + size, sizeof statistics);
    return running_load(&t->rollout.statistics, statistics);
}

/* The learner whose microbatches hold a place of the batch: slices are [l B / L, (l+1) B / L). */
static int dialogue_owner(const struct trainer *t, int64_t place)
{
    const int64_t dialogues = t->config->rollout.dialogues, learners = t->world->learners;
    int64_t owner = 0;
    while (place >= (owner + 1) * dialogues / learners) owner++;
    return (int)owner;
}

static void pending_add(struct trainer *t, struct experience *one)
{
    t->pending = memory_resize(t->pending, (size_t)(t->pending_count + 1) * sizeof *t->pending);
    t->pending[t->pending_count++] = one;
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

/* Actor: its slice of batch b, each dialogue to its owner. */
static status batch_generate(struct trainer *t, int64_t batch, int64_t version)
{
    struct world *world = t->world;
    const int64_t dialogues = t->config->rollout.dialogues;
    const int64_t first = world->actor * dialogues / world->actors;
    const int64_t end = (world->actor + 1) * dialogues / world->actors;
    const int64_t count = end - first;
    if (!count) return NULL;
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
            pending_add(t, made[i]);
            made[i] = NULL;
        } else
            s = experience_outbox_add(t->outbox, made[i], dialogue_owner(t, first + i));
    }
    for (int64_t i = 0; i < count; i++)
        if (made[i]) experience_destroy(made[i]);
    free(made);
    free(ids);
    return s;
}

/* The dialogues that this learner owns: whole microbatches. */
static void slice_range(const struct trainer *t, int64_t *first, int64_t *end)
{
    const int64_t mine = learner_microbatches(t->learner);
    const int64_t dialogues = t->config->rollout.dialogues;
    *first = microbatch_first(t->config, dialogues, mine * t->world->learner);
    *end = microbatch_first(t->config, dialogues, mine * (t->world->learner + 1));
}

/* Learner: waits until its slice of batch b is there; slots in order. */
static status batch_receive(struct trainer *t, int64_t batch, struct experience **slots,
                            int64_t first, int64_t end)
{
    const int64_t dialogues = t->config->rollout.dialogues, count = end - first;
    const int64_t base = batch * dialogues + first;
    int64_t filled = 0;
    memset(slots, 0, (size_t)count * sizeof *slots);
    while (true) {
        for (int64_t i = 0; i < t->pending_count;) {
            struct experience *one = t->pending[i];
            const int64_t place = one->dialogue - base;
            if (place < 0 || place >= count) {
                i++;
                continue;
            }
            if (slots[place])
                FAIL(STATUS_INTERNAL, "dialogue %lld came twice", (long long)one->dialogue);
            const int64_t want = batch - t->config->pipeline.lag;
            if (one->weight_version != (want > 0 ? want : 0))
                FAIL(STATUS_INTERNAL, "dialogue %lld was generated with weights %lld, not %lld",
                     (long long)one->dialogue, (long long)one->weight_version, (long long)want);
            slots[place] = one;
            filled++;
            t->pending[i] = t->pending[--t->pending_count];
        }
        if (filled == count) return NULL;
        struct experience *next;
        TRY(experience_receive(t->world, &next));
        pending_add(t, next);
    }
}

/* The turns of a dialogue as JSON lines. */
static status sample_print(const struct trainer *t, const struct experience *one, FILE *out)
{
    const struct tokenizer *tokenizer = t->language->tokenizer;
    status s = NULL;
    for (int64_t k = 0; !s && k < one->turn_count; k++) {
        const struct experience_turn *turn = &one->turns[k];
        char *history = NULL, *reply = NULL, number[40];
        s = tokenizer_decode(tokenizer, turn->history_tokens, turn->history_length, true, &history);
        if (!s)
            s = tokenizer_decode(tokenizer, turn->reply_tokens, turn->reply_length, true, &reply);
        if (!s) {
            json_double_text(number, turn->reward);
            fprintf(out, "{\"dialogue\":%lld,\"turn\":%d,\"candidate\":%d,",
                    (long long)one->dialogue, turn->turn + 1, turn->candidate);
            fprintf(out, "\"reward\":%s,\"history\":", number);
            json_write_text(out, history);
            fputs(",\"reply\":", out);
            json_write_text(out, reply);
            fputs("}\n", out);
        }
        free(history);
        free(reply);
    }
    return s;
}

/* The batch's first two dialogues, whichever learners have them (all learners call). */
static status samples_write(const struct trainer *t, int64_t step, struct experience *const *slots,
                            int64_t first, int64_t count)
{
    char *mine = NULL, path[1200];
    size_t size = 0, bytes = 0;
    FILE *stream = open_memstream(&mine, &size);
    if (!stream) FAIL(STATUS_INTERNAL, "out of memory");
    status s = NULL;
    for (int64_t e = 0; !s && e < count && first + e < 2; e++)
        s = sample_print(t, slots[e], stream);
    fclose(stream);
    void *all = NULL;
    const struct learner_exchange *exchange = &t->learner->exchange;
    if (!s) s = exchange->gather(exchange->context, mine, size, &all, &bytes);
    if (!s && t->world->rank == 0) {
        snprintf(path, sizeof path, "%s/samples", t->folder.options->folder);
        s = directory_create(path);
        snprintf(path, sizeof path, "%s/samples/step-%06lld.jsonl", t->folder.options->folder,
                 (long long)step);
        if (!s) s = file_write(path, all, bytes);
    }
    free(mine);
    free(all);
    return s;
}

enum { METRIC_MOST = 64 };

static status update_report(struct trainer *t, int64_t step, double seconds,
                            const struct update_metrics *m)
{
    struct metric list[METRIC_MOST];
    char names[METRIC_MOST][64];
    int64_t n = 0;
/* text is read before n moves: it may be names[n]. */
#define ADD(text, number) (list[n] = (struct metric){text, number}, n++)
    ADD("reward", m->reward);
    ADD("kl", m->policy.kl);
    ADD("reply_length", m->reply_length);
    ADD("loss", m->policy.loss);
    ADD("scaled_reward", m->scaled_reward);
    for (int k = 0; k < TERM_COUNT; k++) {
        const char *term = reward_term_name[k];
        snprintf(names[n], sizeof names[n], "%s", term);
        ADD(names[n], m->terms[k]);
        snprintf(names[n], sizeof names[n], "scaled_%s", term);
        ADD(names[n], m->scaled[k]);
        snprintf(names[n], sizeof names[n], "within_share_%s", term);
        ADD(names[n], m->within_share[k]);
    }
    ADD("within_share_reward", m->reward_within_share);
    ADD("gradient_norm", m->policy.gradient_norm);
    ADD("clip_fraction", m->policy.clip_fraction);
    ADD("skipped", m->policy.skipped || m->critic.skipped);
    ADD("ratio_deviation_first", m->first_ratio_deviation);
    ADD("kl_behaviour", m->kl_behaviour);
    ADD("token_entropy", m->token_entropy);
    ADD("salient_share", m->salient_share);
    ADD("salient_empty", m->salient_empty);
    ADD("sink_mass", m->special_mass);
    ADD("end_rate", m->end_rate);
    ADD("distinct_2", m->distinct_2);
    ADD("advantage_deviation", m->advantage_deviation);
    if (t->learner->critic) {
        ADD("critic_loss", m->critic.loss);
        ADD("critic_gradient_norm", m->critic.gradient_norm);
        ADD("explained_variance", m->explained_variance);
    }
#undef ADD
    return run_folder_report(&t->folder, step, seconds, (double)m->tokens, list, n);
}

/* Rank 0: the held-out metrics; *stop when the guard says so.  The guard watches the held-out
 * reward. */
static status held_out_report(struct trainer *t, int64_t step, bool *stop)
{
    struct evaluation evaluation;
    TRY(evaluate(t->evaluator, t->config, t->language, t->valid, t->config->eval.dialogues, NULL,
                 &evaluation));
    struct metric list[EVAL_COUNT];
    char names[EVAL_COUNT][64];
    int64_t n = 0;
    double watched = 0;
    for (int k = 0; k < EVAL_COUNT; k++) {
        if (!strcmp(evaluation_name[k], t->config->guard.metric)) watched = evaluation.value[k];
        if (!isfinite(evaluation.value[k])) continue;
        snprintf(names[n], sizeof names[n], "eval_%s", evaluation_name[k]);
        list[n] = (struct metric){names[n], evaluation.value[k]};
        n++;
    }
    TRY(metrics_write(t->folder.metrics, step, list, n));
    TRY(tensorboard_write(t->folder.board, step, list, n));
    const bool lower = !strcmp(t->config->guard.metric, "perplexity");
    const double score = lower ? -watched : watched;
    if (t->folder.best < 0 || score > t->folder.best_metric) {
        t->folder.best = step;
        t->folder.best_metric = score;
        t->folder.worse = 0;
    } else
        t->folder.worse++;
    if (t->config->guard.patience > 0 && t->folder.worse >= t->config->guard.patience) {
        log_line(LOG_WARNING,
                 "update %lld: held-out %s has not risen for %lld evaluations; "
                 "stopping (guard.patience), the best is step %lld",
                 (long long)step, t->config->guard.metric, (long long)t->folder.worse,
                 (long long)t->folder.best);
        *stop = true;
    }
    return NULL;
}

/* Learner: one update from batch b. */
static status batch_learn(struct trainer *t, int64_t batch, bool *guard)
{
    const double begun = seconds_now();
    int64_t first, end;
    slice_range(t, &first, &end);
    const int64_t count = end - first;
    struct experience **slots = memory_allocate((size_t)count * sizeof *slots + 8);
    t->world->step = batch;
    status s = batch_receive(t, batch, slots, first, end);
    if (!s && t->world->rank == 0 && t->config->pipeline.lag > 0)
        s = parameters_download(t5_parameters(t->policy), t->previous);
    struct update_metrics metrics;
    if (!s) s = ppo_update(t->learner, slots, count, t->config->rollout.dialogues, batch, &metrics);
    if (!s && (metrics.policy.skipped || metrics.critic.skipped) && t->world->rank == 0)
        log_line(LOG_WARNING, "update %lld: a gradient was not finite, the step was skipped",
                 (long long)batch + 1);
    const int64_t every = t->config->eval.every;
    const bool look = every > 0 && (batch + 1) % every == 0;
    if (!s && t->world->rank == 0) s = update_report(t, batch + 1, seconds_now() - begun, &metrics);
    if (!s && look) s = samples_write(t, batch + 1, slots, first, count);
    if (!s && look && t->valid && t->world->rank == 0) s = held_out_report(t, batch + 1, guard);
    for (int64_t i = 0; i < count; i++)
        if (slots[i]) experience_destroy(slots[i]);
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
    const int64_t every = t->config->checkpoint.every, updates = t->config->train.updates;
    if (!(stop || version == updates || (every > 0 && version % every == 0))) return NULL;
    const bool lag = t->config->pipeline.lag > 0 && version < updates;
    return run_checkpoint_save(&t->folder, t->learner, t->language, version,
                               lag ? t->previous : NULL);
}

/* Lag 1, at a stop: batch `batch` was generated already; its messages are taken and dropped. */
static status batch_drain(struct trainer *t, int64_t batch)
{
    int64_t first, end;
    slice_range(t, &first, &end);
    struct experience **slots = memory_allocate((size_t)(end - first) * sizeof *slots + 8);
    status s = batch_receive(t, batch, slots, first, end);
    for (int64_t i = 0; i < end - first; i++)
        if (slots[i]) experience_destroy(slots[i]);
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

static status learner_loop(struct trainer *t, int64_t start, float *lagging, int64_t *stop)
{
    const int64_t updates = t->config->train.updates, lag = t->config->pipeline.lag;
    const int64_t first = start > lag ? start - lag : 0;
    if (start < updates || start == 0) TRY(weights_pass(t, first, first < start ? lagging : NULL));
    if (first < start && start + lag < updates) TRY(weights_pass(t, start, NULL));
    for (int64_t batch = start; batch < updates && !*stop; batch++) {
        bool guard = false;
        TRY(batch_learn(t, batch, &guard));
        const int64_t version = batch + 1;
        TRY(stop_agree(t, version, guard, stop));
        TRY(learner_save(t, version, *stop));
        if (*stop && lag > 0 && version < updates) TRY(batch_drain(t, version));
        if (!*stop && version + lag < updates) TRY(weights_pass(t, version, NULL));
    }
    return NULL;
}

/* Every rank generates, then learns. */
static status both_loop(struct trainer *t, int64_t start, float *lagging, int64_t *stop)
{
    const int64_t updates = t->config->train.updates, lag = t->config->pipeline.lag;
    for (int64_t batch = start; batch < updates && !*stop; batch++) {
        const int64_t version = batch > lag ? batch - lag : 0;
        const float *older = version < batch ? (batch == start ? lagging : t->previous) : NULL;
        TRY(weights_pass(t, version, older));
        TRY(batch_generate(t, batch, version));
        bool guard = false;
        TRY(batch_learn(t, batch, &guard));
        TRY(stop_agree(t, batch + 1, guard, stop));
        TRY(learner_save(t, batch + 1, *stop));
    }
    return NULL;
}

static void roles_print(const struct trainer *t, FILE *out)
{
    const struct world *world = t->world;
    const int64_t parameters = t->wire_count - 2 * RUNNING_SIZE;
    const double mb = 4e-6 * (double)parameters;
    const bool critic = t->config->advantage != ADVANTAGE_GROUP;
    int tree = 1;
    for (int64_t m = t->config->learn.microbatches / world->learners; m > 1; m /= 2) tree++;
    const double learner =
        mb * ((critic ? 2 : 1) * (2.0 + 2.0 + tree + 1) + (t->reference ? 2 : 0));
    for (int r = 0; r < world->size; r++) {
        const bool learns = r < world->learners;
        const bool acts = !learns || world->learners == world->size;
        double memory = learns ? learner : 0;
        if (acts) memory += mb * (2 + (frozen_needed(t->config) ? 2 : 0));
        fprintf(out, "# rank %d: %s%s%s, about %.1f MB of weights and optimizer\n", r,
                learns ? "learner" : "", learns && acts ? " and " : "", acts ? "actor" : "",
                memory);
    }
    fprintf(out, "# parameters: %lld; updates: %lld of %lld dialogues x %lld candidates\n",
            (long long)parameters, (long long)t->config->train.updates,
            (long long)t->config->rollout.dialogues, (long long)t->config->rollout.candidates);
}

static status loops_run(struct trainer *t, int64_t *stop)
{
    float *lagging = NULL;
    const int64_t start = t->folder.start;
    status s = NULL;
    if (t->world->is_learner && t->folder.checkpoint[0])
        s = run_checkpoint_load(&t->folder, t->learner, &lagging);
    if (!s && t->config->pipeline.lag > 0 && start > 0 && start < t->config->train.updates &&
        t->world->rank == 0 && !lagging)
        s = ERROR(STATUS_INPUT,
                  "%s was saved as a run's last step at pipeline.lag 1; it has no "
                  "weights to go on with",
                  t->folder.checkpoint);
    s = world_agree(t->world, s);
    if (!s && t->world->is_learner && t->config->pipeline.lag > 0) {
        t->previous = memory_allocate((size_t)t->wire_count * sizeof *t->previous);
        if (lagging)
            memcpy(t->previous, lagging,
                   (size_t)(t->wire_count - 2 * RUNNING_SIZE) * sizeof *lagging);
    }
    if (!s && start < t->config->train.updates) {
        if (t->world->is_learner && t->world->is_actor)
            s = both_loop(t, start, lagging, stop);
        else
            s = t->world->is_learner ? learner_loop(t, start, lagging, stop)
                                     : actor_loop(t, start, stop);
        if (!s) s = outbox_empty(t);
        if (s) world_abort(t->world, s); /* others wait for this rank: end them all */
    }
    free(lagging);
    return s;
}

status train_run(struct world *world, const struct run_options *options)
{
    struct trainer t = {.config = &options->config, .world = world};
    int64_t stop = 0;
    status s = run_folder_open(world, options, "train", &t.folder);
    if (!s) s = world_agree(world, trainer_open(&t));
    if (!s && options->dry) {
        if (world->rank == 0) {
            s = config_print(t.config, stdout);
            roles_print(&t, stdout);
        }
    } else if (!s) {
        s = world_agree(world, run_folder_start(&t.folder, t.config->train.updates));
        if (!s) s = loops_run(&t, &stop);
        if (!s && stop == 2)
            s = ERROR(STATUS_STOPPED,
                      "stopped by a signal after a checkpoint; go on with --resume");
    }
    trainer_close(&t);
    return s;
}
