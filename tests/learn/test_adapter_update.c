/* Adapters against PEFT in PyTorch (tests/golden/adapter_update, by
 * tools/reference/adapter_update.py): PEFT's folder is read, its first logits are those of the
 * model here, and two steps of PPO and of sft change every adapter as they do there. */
#include "tests/reward/reward_test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "src/data/dialogue.h"
#include "src/learn/step.h"
#include "src/model/adapted.h"
#include "src/model/folder.h"
#include "src/model/peft.h"
#include "src/model/safetensors.h"

enum { LINES = 6, TOKENS = 64, STEPS = 2 };

struct fixture {
    struct queue *queue;
    struct model *base, *model;
    struct safetensors *expected;
    struct dataset *data;
    float *start; /* host, the adapters as PEFT wrote them */
};

static void path_join(char out[512], const char *name, const char *file)
{
    snprintf(out, 512, REGARD_SOURCE "/tests/golden/adapter_update/%s/%s", name, file);
}

static void fixture_open(const char *name, struct fixture *f)
{
    struct adapter_settings settings;
    struct model_shape *shape;
    char folder[512], path[512], base[PEFT_PATH_MAX], base_path[PEFT_PATH_MAX + 512];
    memset(f, 0, sizeof *f);
    path_join(folder, name, "adapter");
    assert_done(cpu_queue_create(2, "auto", &f->queue));
    assert_done(peft_settings(folder, &settings, base));
    snprintf(base_path, sizeof base_path, REGARD_SOURCE "/%s", base);
    assert_done(model_folder_shape(base_path, &shape));
    assert_done(model_create(f->queue, shape, true, &f->base));
    free(shape);
    assert_done(model_folder_load(base_path, f->base));
    assert_done(model_create_adapted(f->base, &settings, true, &f->model));
    assert_done(peft_load(folder, f->model));
    path_join(path, name, "expected.safetensors");
    assert_done(safetensors_open(path, &f->expected));
    path_join(path, name, "update.jsonl");
    assert_done(dataset_read(path, DATASET_UPDATE, &f->data));
    assert_int_equal(f->data->count, LINES);
    const struct parameters *trained = model_trained(f->model);
    f->start = malloc((size_t)trained->size * sizeof *f->start);
    assert_non_null(f->start);
    assert_done(parameters_download(trained, f->start));
}

static void fixture_close(struct fixture *f)
{
    free(f->start);
    dataset_free(f->data);
    safetensors_close(f->expected);
    model_destroy(f->model);
    model_destroy(f->base);
    f->queue->op->destroy(f->queue);
}

/* The caller frees. */
static float *expected_floats(const struct fixture *f, const char *name, int64_t count)
{
    const struct tensor *tensor = safetensors_find(f->expected, name);
    if (!tensor || tensor->count != count) fail_msg("%s: no such tensor of that size", name);
    float *values = malloc((size_t)count * sizeof *values);
    assert_non_null(values);
    assert_done(tensor_floats(tensor, values));
    return values;
}

static void logits_check(const struct fixture *f)
{
    const struct dialogue *line = &f->data->dialogues[0];
    const int32_t history_begin[2] = {0, (int32_t)line->history_count}, none[1] = {0};
    const int32_t reply_begin[2] = {0, (int32_t)line->reply_count};
    const struct model_batch batch = {.histories = 1,
                                      .history_begin = history_begin,
                                      .history_tokens = line->history_tokens,
                                      .replies = 1,
                                      .reply_begin = reply_begin,
                                      .reply_tokens = line->reply_tokens,
                                      .reply_history = none};
    const int64_t count = line->reply_count * model_shape(f->model)->vocabulary;
    struct model_run *run;
    float *logits; /* on the CPU the device's memory is the host's */
    assert_done(model_run_create(f->model, &run));
    assert_done(model_forward(run, &batch, MODEL_KEEP_NOTHING, 0));
    assert_done(model_run_logits(run, &logits));
    float *expected = expected_floats(f, "logits", count);
    /* fp32 through two stacks, of logits below 20. */
    for (int64_t i = 0; i < count; i++)
        if (!(fabsf(logits[i] - expected[i]) < 1e-4f))
            fail_msg("logit %lld is %g, PEFT's is %g", (long long)i, logits[i], expected[i]);
    free(expected);
    model_run_destroy(run);
}

static void metrics_check(const struct fixture *f, const char *loss, int step,
                          const struct step_metrics *saw)
{
    const struct {
        const char *name;
        double value;
    } all[] = {{"loss", saw->loss}, {"gradient_norm", saw->gradient_norm}, {"kl", saw->kl}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        char name[64];
        if (!strcmp(all[i].name, "kl") && strcmp(loss, "ppo") != 0) continue;
        snprintf(name, sizeof name, "%s.%s", loss, all[i].name);
        float *expected = expected_floats(f, name, STEPS);
        if (!(fabs(all[i].value - expected[step]) <= 2e-4 * fabs(expected[step])))
            fail_msg("step %d: %s is %g, PEFT's is %g", step + 1, name, all[i].value,
                     expected[step]);
        free(expected);
    }
}

/* The change of each adapter by its length.  Adam divides by a gradient's size: elements whose
 * gradient is small beside fp32's error of it change otherwise. */
static void change_check(const struct fixture *f, const char *loss)
{
    const struct parameters *trained = model_trained(f->model);
    float *now = malloc((size_t)trained->size * sizeof *now);
    assert_non_null(now);
    assert_done(parameters_download(trained, now));
    for (int64_t i = 0; i < trained->count; i++) {
        const struct parameter *one = &trained->list[i];
        char name[160];
        double off = 0, length = 0;
        snprintf(name, sizeof name, "%s.change.%s", loss, one->name);
        float *expected = expected_floats(f, name, one->count);
        for (int64_t e = 0; e < one->count; e++) {
            const int64_t at = one->offset + e;
            off += pow((double)now[at] - f->start[at] - expected[e], 2);
            length += pow((double)expected[e], 2);
        }
        free(expected);
        if (!(length > 0 && sqrt(off) <= 3e-3 * sqrt(length)))
            fail_msg("%s: differs by %g of its length %g", name, sqrt(off / length), sqrt(length));
    }
    free(now);
}

static void steps_check(const struct fixture *f, const struct loss *loss, const char *name)
{
    struct learner_exchange exchange;
    struct learner *learner;
    struct learn_turn turns[LINES];
    float refs[TOKENS], advantages[TOKENS], *logp[LINES];
    const int64_t begin[3] = {0, 2, LINES};
    /* What tools/reference/adapter_update.py sets too. */
    const struct learn_settings settings = {.temperature = 0.8,
                                            .clip = 0.1,
                                            .kl_coef = 0.2,
                                            .kl_bounds = {-INFINITY, INFINITY},
                                            .clip_norm = 0.05,
                                            .microbatches = 2,
                                            .reply_tokens = 1024,
                                            .history_tokens = 1024};
    struct learn_batch batch = {
        .turns = turns, .turn_count = LINES, .begin = begin, .all_turns = LINES};
    learner_exchange_alone(&exchange);
    assert_done(parameters_upload(model_trained(f->model), f->start));
    assert_done(model_refresh(f->model));
    assert_done(learner_create(&settings, &exchange, f->model, f->base, false, &learner));
    for (int i = 0; i < LINES; i++) {
        const struct dialogue *line = &f->data->dialogues[i];
        assert_true(batch.all_tokens + line->reply_count <= TOKENS);
        turns[i] = (struct learn_turn){.history = line->history_tokens,
                                       .history_count = line->history_count,
                                       .reply = line->reply_tokens,
                                       .reply_count = line->reply_count,
                                       .logp_old = line->logp,
                                       .logp_ref = refs + batch.all_tokens,
                                       .advantage = advantages + batch.all_tokens};
        logp[i] = turns[i].logp_ref;
        for (int64_t t = 0; t < line->reply_count; t++)
            advantages[batch.all_tokens++] = (float)line->advantage;
    }
    assert_done(learner_logp(learner, learner->reference_run, turns, LINES, logp));
    for (int step = 0; step < STEPS; step++) {
        struct step_metrics metrics;
        assert_done(learner_step(learner, loss, &batch, 3e-3, &metrics));
        metrics_check(f, name, step, &metrics);
    }
    change_check(f, name);
    learner_free(learner);
}

static void steps_are_those_of_peft(const char *name)
{
    struct fixture f;
    fixture_open(name, &f);
    logits_check(&f);
    steps_check(&f, &loss_ppo, "ppo");
    steps_check(&f, &loss_sft, "sft");
    fixture_close(&f);
}

static void steps_on_a_t5s_adapters_are_those_of_peft(void **state)
{
    (void)state;
    steps_are_those_of_peft("t5");
}

/* Scaled by alpha / sqrt(rank), parts of fused layers. */
static void steps_on_a_llamas_adapters_are_those_of_peft(void **state)
{
    (void)state;
    steps_are_those_of_peft("llama");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_on_a_t5s_adapters_are_those_of_peft),
        cmocka_unit_test(steps_on_a_llamas_adapters_are_those_of_peft),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
