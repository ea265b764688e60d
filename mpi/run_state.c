/* See run_state.h. */
#include "mpi/run_state.h"

#include "src/base/memory.h"
#include "src/checkpoint/state.h"
#include "src/model/parameters.h"

#include <stdlib.h>
#include <string.h>

static const struct run_state *saved(const void *run)
{
    return run;
}

static status text_get(const char *text, struct state_value *out)
{
    out->values = text;
    out->count = (int64_t)strlen(text);
    return NULL;
}

static status integer_get(int64_t value, struct state_value *out)
{
    out->room.integers[0] = value;
    out->values = out->room.integers;
    out->count = 1;
    return NULL;
}

static status double_get(double value, struct state_value *out)
{
    out->room.doubles[0] = value;
    out->values = out->room.doubles;
    out->count = 1;
    return NULL;
}

/* ---- what the run is: read by folder.c before anything else is loaded ---- */

static status kind_get(const void *run, int64_t index, struct state_value *out)
{
    (void)index;
    return text_get(saved(run)->folder->kind, out);
}

static status config_get(const void *run, int64_t index, struct state_value *out)
{
    (void)index;
    char *text = NULL;
    size_t size = 0;
    FILE *stream = memory_stream(&text, &size);
    status s = config_print(&saved(run)->folder->options->config, stream);
    memory_stream_close(stream);
    out->values = out->owned = text;
    out->count = (int64_t)size;
    return s;
}

static status inputs_get(const void *run, int64_t index, struct state_value *out)
{
    (void)index;
    char *text = NULL;
    size_t size = 0;
    status s = run_inputs_print(&saved(run)->folder->inputs, &text, &size);
    out->values = out->owned = text;
    out->count = (int64_t)size;
    return s;
}

/* ---- optimizer steps ---- */

static status policy_steps_get(const void *run, int64_t index, struct state_value *out)
{
    (void)index;
    return integer_get(saved(run)->learner->policy_optimizer->step, out);
}

static status policy_steps_set(void *run, int64_t index, const void *values, int64_t count)
{
    (void)index, (void)count;
    struct run_state *state = run;
    state->learner->policy_optimizer->step = *(const int64_t *)values;
    return NULL;
}

/* -1: there is no critic. */
static status critic_steps_get(const void *run, int64_t index, struct state_value *out)
{
    (void)index;
    const struct optimizer *critic = saved(run)->learner->critic_optimizer;
    return integer_get(critic ? critic->step : -1, out);
}

static status critic_steps_set(void *run, int64_t index, const void *values, int64_t count)
{
    (void)index, (void)count;
    struct run_state *state = run;
    struct optimizer *critic = state->learner->critic_optimizer;
    const int64_t steps = *(const int64_t *)values;
    if ((steps >= 0) != (critic != NULL))
        FAIL(STATUS_INPUT, "%s: a critic is %s the checkpoint", state->folder->checkpoint,
             steps >= 0 ? "in" : "missing in");
    if (critic) critic->step = steps;
    return NULL;
}

/* A checkpoint without them is of a run that counted none. */
static status skips_get(const void *run, int64_t index, struct state_value *out)
{
    (void)index;
    const struct skips *skips = &saved(run)->learner->skips;
    out->room.integers[0] = skips->total;
    out->room.integers[1] = skips->in_row;
    out->values = out->room.integers;
    out->count = 2;
    return NULL;
}

static status skips_set(void *run, int64_t index, const void *values, int64_t count)
{
    (void)index, (void)count;
    struct skips *skips = &((struct run_state *)run)->learner->skips;
    skips->total = ((const int64_t *)values)[0];
    skips->in_row = ((const int64_t *)values)[1];
    return NULL;
}

/* ---- evaluations: integers and numbers of struct run_evaluations ---- */

enum { EVALUATED, BEST, WORSE, BEST_SAVED, EVALUATION_INTEGERS };
enum { BEST_METRIC, BEST_SAVED_METRIC, EVALUATION_NUMBERS };

static int64_t *evaluation_integer(struct run_evaluations *e, int64_t index)
{
    int64_t *const all[EVALUATION_INTEGERS] = {[EVALUATED] = &e->evaluated,
                                               [BEST] = &e->best,
                                               [WORSE] = &e->worse,
                                               [BEST_SAVED] = &e->best_saved};
    return all[index];
}

static status evaluation_integer_get(const void *run, int64_t index, struct state_value *out)
{
    return integer_get(*evaluation_integer(&saved(run)->folder->evaluations, index), out);
}

static status evaluation_integer_set(void *run, int64_t index, const void *values, int64_t count)
{
    (void)count;
    *evaluation_integer(&((struct run_state *)run)->folder->evaluations, index) =
        *(const int64_t *)values;
    return NULL;
}

static double *evaluation_number(struct run_evaluations *e, int64_t index)
{
    return index == BEST_METRIC ? &e->best_metric : &e->best_saved_metric;
}

static status evaluation_number_get(const void *run, int64_t index, struct state_value *out)
{
    return double_get(*evaluation_number(&saved(run)->folder->evaluations, index), out);
}

static status evaluation_number_set(void *run, int64_t index, const void *values, int64_t count)
{
    (void)count;
    *evaluation_number(&((struct run_state *)run)->folder->evaluations, index) =
        *(const double *)values;
    return NULL;
}

/* ---- models ---- */

/* The reference's hash, as far as it is known; empty: there is none. */
static status reference_get(const void *run, int64_t index, struct state_value *out)
{
    (void)index;
    return text_get(saved(run)->learner->reference ? saved(run)->folder->reference_hash : "", out);
}

static status reference_set(void *run, int64_t index, const void *values, int64_t count)
{
    (void)index, (void)count;
    struct model *reference = ((struct run_state *)run)->learner->reference;
    char hex[65] = "";
    /* One that moved is a vector of the checkpoint. */
    if (!reference || ((struct run_state *)run)->learner->settings.reference_every) return NULL;
    TRY(parameters_hash(model_trained(reference), hex));
    memcpy(((struct run_state *)run)->folder->reference_hash, hex, sizeof hex);
    const struct config *config = &((struct run_state *)run)->folder->options->config;
    if (strcmp(values, hex) != 0)
        FAIL(STATUS_INPUT, "%s is not what this run began with: the reference differs",
             config->model.reference_path[0] ? "model.reference_path"
             : config->adapter.path[0]       ? "adapter.path"
                                             : "model.path");
    return NULL;
}

/* The weights index + 1 updates older; none where the run needs none. */
static status lagging_get(const void *run, int64_t index, struct state_value *out)
{
    const struct run_state *state = run;
    const int64_t version = state->step - 1 - index;
    if (!state->past || version < 0) return NULL;
    out->count = state->past->size;
    out->values = out->owned = memory_allocate((size_t)out->count * sizeof(float));
    return past_weights_save(state->past, version, out->owned);
}

static status lagging_set(void *run, int64_t index, const void *values, int64_t count)
{
    struct run_state *state = run;
    const int64_t version = state->step - 1 - index;
    if (!state->past || version < 0 || count != state->past->size) return NULL;
    return past_weights_load(state->past, version, values);
}

/* ---- running statistics: a row a term, by its name ---- */

static status statistics_get(const void *run, int64_t index, struct state_value *out)
{
    running_term_save(saved(run)->statistics, index, out->room.doubles);
    out->values = out->room.doubles;
    out->count = RUNNING_TERM_SIZE;
    return NULL;
}

static status statistics_set(void *run, int64_t index, const void *values, int64_t count)
{
    (void)count;
    struct run_state *state = run;
    return running_term_load(state->reward, state->statistics, index, values);
}

static void statistics_row(const struct reward_settings *reward, int64_t term,
                           struct state_row *row)
{
    /* A term that is newer than the checkpoint has seen nothing yet. */
    *row = (struct state_row){.type = STATE_DOUBLES,
                              .count = RUNNING_TERM_SIZE,
                              .may_miss = true,
                              .index = term,
                              .get = statistics_get,
                              .set = statistics_set};
    snprintf(row->name, sizeof row->name, "running.%s", reward_term_name(reward, term));
}

/* Of returns.center; a checkpoint without it was of a run without that key. */
static status center_get(const void *run, int64_t index, struct state_value *out)
{
    (void)index;
    running_statistic_save(&saved(run)->statistics->reward, out->room.doubles);
    out->values = out->room.doubles;
    out->count = 3;
    return NULL;
}

static status center_set(void *run, int64_t index, const void *values, int64_t count)
{
    (void)index, (void)count;
    return running_statistic_load(&((struct run_state *)run)->statistics->reward, "returns.center",
                                  values);
}

/* Of audit.every; none where that is 0.  The divisors are the last, and those behind the run's
 * terms are no part of it, so that states of versions with another TERM_MAX are read too. */
static int64_t audit_size(const struct learner *learner)
{
    if (!learner->settings.audit_every) return 0;
    return AUDIT_DOUBLES - TERM_MAX + learner->settings.reward.term_count;
}

static status audit_get(const void *run, int64_t index, struct state_value *out)
{
    (void)index;
    const struct learner *learner = saved(run)->learner;
    out->count = audit_size(learner);
    if (out->count) out->values = &learner->audit;
    return NULL;
}

static status audit_set(void *run, int64_t index, const void *values, int64_t count)
{
    (void)index;
    struct run_state *state = run;
    struct learner *learner = state->learner;
    const int64_t size = audit_size(learner);
    if (count < size || (count && !size))
        FAIL(STATUS_INPUT, "%s: the state of its audits is of another version of regard",
             state->folder->checkpoint);
    if (size) memcpy(&learner->audit, values, (size_t)size * sizeof(double));
    return NULL;
}

/* ---- the table ---- */

static const struct state_row table[] = {
    {"kind", STATE_TEXT, -1, false, 0, kind_get, NULL},
    {"config", STATE_TEXT, -1, false, 0, config_get, NULL},
    {"inputs", STATE_TEXT, -1, false, 0, inputs_get, NULL},
    {"policy.steps", STATE_INTEGERS, 1, false, 0, policy_steps_get, policy_steps_set},
    {"critic.steps", STATE_INTEGERS, 1, false, 0, critic_steps_get, critic_steps_set},
    {"skips", STATE_INTEGERS, 2, true, 0, skips_get, skips_set},
    {"evaluated", STATE_INTEGERS, 1, false, EVALUATED, evaluation_integer_get,
     evaluation_integer_set},
    {"best", STATE_INTEGERS, 1, false, BEST, evaluation_integer_get, evaluation_integer_set},
    {"best_metric", STATE_DOUBLES, 1, false, BEST_METRIC, evaluation_number_get,
     evaluation_number_set},
    {"worse", STATE_INTEGERS, 1, false, WORSE, evaluation_integer_get, evaluation_integer_set},
    {"best_saved", STATE_INTEGERS, 1, false, BEST_SAVED, evaluation_integer_get,
     evaluation_integer_set},
    {"best_saved_metric", STATE_DOUBLES, 1, false, BEST_SAVED_METRIC, evaluation_number_get,
     evaluation_number_set},
    {RUN_STATE_REFERENCE, STATE_TEXT, -1, false, 0, reference_get, reference_set},
    {"returns.center", STATE_DOUBLES, 3, true, 0, center_get, center_set},
    {"audit", STATE_DOUBLES, -1, true, 0, audit_get, audit_set},
    {"lagging", STATE_FLOATS, -1, false, 0, lagging_get, lagging_set},
};

enum { TABLE_COUNT = sizeof table / sizeof *table };

/* A row a term; returns how many. */
static int64_t statistics_rows(const struct reward_settings *reward, struct state_row *rows)
{
    for (int64_t t = 0; t < reward->term_count; t++) statistics_row(reward, t, &rows[t]);
    return reward->term_count;
}

/* A row for each of the older versions behind the first, which is in the table. */
static int64_t older_rows(const struct run_state *state, struct state_row *rows)
{
    int64_t count = 0;
    for (int64_t older = 1; state->past && older < state->past->lag; older++) {
        rows[count] = (struct state_row){.type = STATE_FLOATS,
                                         .count = -1,
                                         .may_miss = true,
                                         .index = older,
                                         .get = lagging_get,
                                         .set = lagging_set};
        snprintf(rows[count++].name, sizeof rows->name, "lagging.%lld", (long long)older + 1);
    }
    return count;
}

enum { ROWS_MAX = TABLE_COUNT + TERM_MAX + PIPELINE_LAG_MAX };

/* The whole table, of a state whose learner is known. */
static int64_t rows_make(struct run_state *state, struct state_row rows[ROWS_MAX])
{
    state->reward = &state->learner->settings.reward;
    state->statistics = &state->learner->statistics;
    memcpy(rows, table, sizeof table);
    int64_t count = TABLE_COUNT;
    count += statistics_rows(state->reward, rows + count);
    return count + older_rows(state, rows + count);
}

status run_state_keep(struct run_state *state, struct state_kept **out)
{
    struct state_row rows[ROWS_MAX];
    const int64_t count = rows_make(state, rows);
    return state_keep(rows, count, state, out);
}

status run_state_load(struct run_state *state, const char *folder)
{
    struct state_row rows[ROWS_MAX];
    const int64_t count = rows_make(state, rows);
    return state_load(folder, rows, count, state);
}

status run_state_statistics(const char *folder, const struct reward_settings *reward,
                            struct running_statistics *out)
{
    struct run_state state = {.reward = reward, .statistics = out};
    struct state_row rows[TERM_MAX];
    const int64_t count = statistics_rows(reward, rows);
    return state_load(folder, rows, count, &state);
}
