/* See rehearsal.h. */
#include "mpi/rehearsal.h"

#include "kernels/sleep.h"
#include "mpi/trainer.h"
#include "src/base/memory.h"
#include "src/rollout/experience_tokens.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Dialogues that are learned from, in groups of powers of two up to all of them. */
enum { DIALOGUES = PRICE_DIALOGUES };

/* A world of one rank that does all. */
static struct world alone(void)
{
    return (struct world){.size = 1, .roles = roles_of(0, 1, 1)};
}

static void sources_strip(struct config *config)
{
    struct config_weights *sources = &config->reward.sources;
    bool any = false;
    sources->listed[SOURCE_COMMAND] = sources->listed[SOURCE_PLUGIN] = false;
    for (int i = 0; i < SOURCE_COUNT; i++) any |= sources->listed[i];
    if (any) return;
    sources->listed[SOURCE_ATTENTION] = true;
    sources->weight[SOURCE_ATTENTION] = 1;
}

static struct trainer trainer_on(struct rehearsal *r, const struct config *config,
                                 struct world *world)
{
    struct trainer t = trainer_of(config, world);
    t.run.queue = r->queue;
    t.run.data = r->data;
    t.run.valid = r->valid;
    t.run.language = r->language;
    return t;
}

status rehearsal_open(const struct config *config, const struct cost_rates *rates,
                      size_t real_bytes, struct rehearsal **out)
{
    struct rehearsal *r = memory_allocate(sizeof *r);
    struct world world = alone();
    *out = r;
    r->config = *config;
    r->config.audit.every = 0;
    sources_strip(&r->config);
    struct trainer t = trainer_on(r, &r->config, &world);
    status s = estimate_queue_create(rates, real_bytes, &r->queue);
    t.run.queue = r->queue;
    if (!s) s = run_open_data(&t.run);
    if (!s) s = run_open_language(&t.run, t.run.data);
    if (!s) s = trainer_check_data(&t.run);
    r->data = t.run.data;
    r->valid = t.run.valid;
    r->language = t.run.language;
    if (!s) return NULL;
    rehearsal_close(r);
    *out = NULL;
    return s;
}

void rehearsal_close(struct rehearsal *r)
{
    if (!r) return;
    language_close(r->language);
    if (r->data) dataset_free(r->data);
    if (r->valid) dataset_free(r->valid);
    if (r->queue) r->queue->op->destroy(r->queue);
    free(r);
}

/* What the device's steps are, while replies are generated. */
struct recording {
    const struct lengths *lengths; /* NULL: no reply ends before its last step */
    uint32_t key[2];
    int32_t end;
    double last;     /* the device's seconds at the step before */
    int32_t step;    /* that one; < 0: none was */
    double *seconds; /* [steps] of all chunks together */
    int64_t steps, chunks;
    double rows; /* of all chunks' first steps */
};

static int32_t recording_token(void *context, const uint32_t counter[3], int32_t step)
{
    const struct recording *r = context;
    if (!r->lengths) return -1;
    const uint32_t at[4] = {counter[0], counter[1], counter[2], 0};
    return step + 1 == lengths_at(r->lengths, r->key, at) ? r->end : -1;
}

/* Between two steps of a reply nothing else is done; before a first one histories are read. */
static void recording_sampled(void *context, int64_t rows, int32_t step, double seconds)
{
    struct recording *r = context;
    if (step == 0) {
        r->chunks++;
        r->rows += (double)rows;
    } else if (step == r->step + 1 && step < r->steps)
        r->seconds[step] += seconds - r->last;
    r->step = step;
    r->last = seconds;
}

static int32_t end_token(const struct model *model)
{
    const struct model_shape *shape = model_shape(model);
    int32_t id = 0;
    while (id < shape->vocabulary && !model_shape_is_end(shape, id)) id++;
    return id < shape->vocabulary ? id : -1;
}

/* Dialogues of the data, from `first` on. */
static status dialogues_make(struct trainer *t, int64_t first, int64_t count,
                             struct experience **made)
{
    int64_t *ids = memory_allocate((size_t)count * sizeof *ids);
    for (int64_t i = 0; i < count; i++) ids[i] = first + i;
    status s = rollout_dialogues(&t->rollout, ids, count, 0, made);
    free(ids);
    return s;
}

static void dialogues_free(struct experience **made, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        if (made[i]) experience_destroy(made[i]);
    memset(made, 0, (size_t)count * sizeof(*made));
}

/* Decoding with about so many rows at once, of DIALOGUES dialogues where they are fewer. */
static status steps_price(struct trainer *t, int64_t rows, struct step_price *out)
{
    struct rollout_settings whole = t->settings;
    const int64_t steps = whole.max_new_tokens;
    t->settings.candidates = rows < whole.candidates ? rows : whole.candidates;
    t->settings.interruption = (struct interruption){0};
    const int64_t count = rows / t->settings.candidates;
    struct experience **made = memory_allocate((size_t)count * sizeof(*made));
    struct recording recording = {.step = -1, .steps = steps};
    const struct estimate_watch watch = {recording_token, recording_sampled, &recording};
    recording.seconds = memory_allocate((size_t)steps * sizeof *recording.seconds);
    const double begun = sleep_queue_worked(t->run.queue);
    estimate_queue_watch(t->run.queue, &watch);
    status s = NULL;
    for (int64_t first = 0; !s && (first == 0 || first + count <= DIALOGUES); first += count) {
        s = dialogues_make(t, first, count, made);
        dialogues_free(made, count);
    }
    estimate_queue_watch(t->run.queue, NULL);
    double fixed = sleep_queue_worked(t->run.queue) - begun;
    const double chunks = (double)(recording.chunks ? recording.chunks : 1);
    recording.seconds[0] = steps > 1 ? recording.seconds[1] : 0;
    for (int64_t i = 0; i < steps; i++) {
        fixed -= recording.seconds[i];
        recording.seconds[i] /= chunks;
    }
    *out = (struct step_price){
        .rows = recording.rows / chunks, .fixed = fixed / chunks, .seconds = recording.seconds};
    free(made);
    t->settings = whole;
    return s;
}

static status sizes_price(struct trainer *t, struct prices *out)
{
    const int64_t most = t->run.config->rollout.dialogues * t->settings.candidates;
    const int64_t rows = most < t->settings.batch ? most : t->settings.batch;
    for (int64_t r = 1; out->sizes < PRICE_SIZES && r <= rows; r *= 2) {
        status s = steps_price(t, r, &out->size[out->sizes++]);
        if (s) return s;
    }
    return NULL;
}

/* Mean seconds of an update from groups of so many of the dialogues, in so many microbatches. */
static status update_price(struct rehearsal *r, struct experience **made, int64_t group,
                           int64_t microbatches, int64_t count, double *seconds, double *sliced)
{
    struct world world = alone();
    struct config config = r->config;
    struct learner_exchange exchange;
    config.roles.learners = 1;
    config.learn.microbatches = microbatches;
    config.rollout.dialogues = group;
    struct trainer t = trainer_on(r, &config, &world);
    learner_exchange_alone(&exchange);
    status s = trainer_open_models(&t, &exchange);
    const double begun = sleep_queue_worked(r->queue), before = estimate_queue_sliced(r->queue);
    int64_t done = 0;
    for (; !s && (done + 1) * group <= count; done++) {
        struct update_metrics metrics;
        s = ppo_update(t.run.learner, made + done * group, group, group,
                       config.critic.warmup + done, &metrics);
    }
    *seconds = (sleep_queue_worked(r->queue) - begun) / (double)(done ? done : 1);
    *sliced = (estimate_queue_sliced(r->queue) - before) / (double)(done ? done : 1);
    trainer_close_models(&t);
    return s;
}

static status passes_price(struct rehearsal *r, struct experience **made, int64_t count,
                           struct prices *out)
{
    double one, two, ignored;
    TRY(update_price(r, made, 1, 1, count, &one, &out->sliced));
    TRY(update_price(r, made, 2, 2, count, &two, &ignored));
    out->pass_dialogues[0] = 1;
    out->pass[0] = two - one;
    out->apply = one - out->sliced - out->pass[0];
    for (out->passes = 1; 1 << out->passes <= count; out->passes++) {
        double seconds;
        const int i = out->passes;
        TRY(update_price(r, made, 1 << i, 1, count, &seconds, &ignored));
        out->pass_dialogues[i] = 1 << i;
        out->pass[i] = seconds - out->apply - out->sliced;
    }
    return NULL;
}

/* What the dialogues are. */
static status dialogues_count(const struct trainer *t, struct experience *const *made,
                              int64_t count, struct prices *out)
{
    const bool causal = model_shape_is_causal(model_shape(t->actor_model));
    for (int64_t e = 0; e < count; e++) {
        void *message;
        size_t size;
        int32_t last = 0;
        TRY(experience_pack(made[e], &message, &size));
        free(message);
        out->message += (double)size / (double)count;
        struct experience_tokens tokens = {0};
        double replies = 0;
        experience_tokens_add(made[e], causal, &tokens);
        for (int64_t k = 0; k < made[e]->turn_count; k++) {
            const struct experience_turn *turn = &made[e]->turns[k];
            replies += (double)turn->reply_length;
            if (turn->turn + 1 > last) last = turn->turn + 1;
        }
        for (int32_t turn = 0; turn < last && turn < PRICE_TURNS; turn++)
            out->goes_on[turn] += 1 / (double)count;
        out->history[e] = fmax(0, (double)tokens.computed - replies);
        out->history_tokens += out->history[e] / (double)count;
        out->reply_tokens += replies / (double)count;
    }
    return NULL;
}

static status evaluation_price(struct trainer *t, struct prices *out)
{
    struct metric_list metrics = {.count = 0};
    bool stopped;
    const double begun = sleep_queue_worked(t->run.queue);
    if (!t->run.valid || !t->run.config->eval.every) return NULL;
    TRY(trainer_evaluate(t, &metrics, &stopped));
    out->evaluate = sleep_queue_worked(t->run.queue) - begun;
    return NULL;
}

/* With replies as they are drawn. */
static status drawn_price(struct rehearsal *r, struct trainer *t, const struct lengths *lengths,
                          struct prices *out)
{
    const int64_t count = DIALOGUES;
    struct experience *made[DIALOGUES] = {NULL};
    double scratch;
    struct recording recording = {.lengths = lengths, .end = end_token(t->actor_model)};
    const struct estimate_watch watch = {recording_token, recording_sampled, &recording};
    recording.seconds = &scratch;
    philox_key((uint64_t)r->config.seed, RANDOM_SIMULATOR, recording.key);
    estimate_queue_watch(r->queue, &watch);
    status s = dialogues_make(t, 0, count, made);
    if (!s) s = dialogues_count(t, made, count, out);
    if (!s) s = passes_price(r, made, count, out);
    if (!s) s = evaluation_price(t, out);
    estimate_queue_watch(r->queue, NULL);
    dialogues_free(made, count);
    return s;
}

status rehearsal_prices(struct rehearsal *r, const struct lengths *lengths, struct prices *out)
{
    struct world world = alone();
    struct config config = r->config;
    struct learner_exchange exchange;
    config.roles.learners = 1;
    struct trainer t = trainer_on(r, &config, &world);
    learner_exchange_alone(&exchange);
    *out = (struct prices){.candidates = config.rollout.candidates,
                           .steps = config.rollout.max_new_tokens,
                           .batch = t.settings.batch,
                           .epochs = config.ppo.epochs,
                           .turns = config.rollout.turns};
    status s = trainer_open_models(&t, &exchange);
    if (!s) {
        out->parameters = t.run.parameter_count;
        if (t.run.learner->critic) out->critic_parameters = t.run.learner->critic_parameters->size;
        const double begun = sleep_queue_worked(r->queue);
        s = model_refresh_update(t.actor_model, 0);
        out->refresh = sleep_queue_worked(r->queue) - begun;
    }
    if (!s) s = sizes_price(&t, out);
    if (!s) s = drawn_price(r, &t, lengths, out);
    trainer_close_models(&t);
    if (s) prices_free(out);
    return s;
}

status rehearsal_memory(struct rehearsal *r, const struct plan_run *run, int64_t rank,
                        size_t bytes[MEMORY_KINDS])
{
    struct config config = r->config;
    const int size = (int)run->size, learners = (int)run->learners;
    config.roles.learners = run->learners;
    config.learn.microbatches = run->microbatches;
    config.pipeline.lag = run->lag;
    struct world world = {.size = size, .roles = roles_of(0, size, learners)};
    struct trainer t = trainer_on(r, &config, &world);
    return plan_count(r->queue, &world, (int)rank, trainer_plan, &t, bytes);
}
