/* Steps on decoder-only models against PyTorch in float64: tests/golden/causal_update, made by
 * tools/reference/causal_update.py, whose settings these are.  Seven turns: three replies to each
 * of two histories, and one whose history goes on from a reply, in two microbatches. fp32 leaves
 * about 1e-5 of a parameter's change over three steps of AdamW, which divides by the gradient's
 * size; a wrong formula leaves more than 1e-2. */
#include "src/base/config.h"
#include "src/data/dialogue.h"
#include "src/learn/step.h"
#include "src/model/safetensors.h"
#include "tests/model/model_test.h"

enum { MICROBATCHES = 2, EPOCHS = 3, MOST_TURNS = 8, MOST_TOKENS = 16 };
static const double tolerance = 2e-4;

struct fixture {
    const char *name;
    struct queue *q;
    struct model *policy, *reference;
    struct learner *learner;
    struct dataset *data;
    struct safetensors *expected;
    float *before; /* the policy's parameters */
    struct learn_settings settings;
    struct learn_turn turns[MOST_TURNS];
    float reference_logp[MOST_TURNS][MOST_TOKENS], advantage[MOST_TURNS][MOST_TOKENS];
    int64_t begin[MICROBATCHES + 1];
    struct learn_batch batch;
};

static struct model *model_read(struct fixture *f, bool with_gradients)
{
    char path[1024];
    struct model_shape *shape;
    struct model *model;
    snprintf(path, sizeof path, REGARD_SOURCE "/tests/golden/causal_update/%s/model", f->name);
    CHECK(model_folder_shape(path, &shape));
    CHECK(model_create(f->q, shape, with_gradients, &model));
    free(shape);
    CHECK(model_folder_load(path, model));
    CHECK(model_refresh(model));
    return model;
}

static void turns_fill(struct fixture *f)
{
    float *logp[MOST_TURNS];
    assert_in_range(f->data->count, MICROBATCHES, MOST_TURNS);
    f->batch = (struct learn_batch){.turns = f->turns,
                                    .turn_count = f->data->count,
                                    .begin = f->begin,
                                    .all_turns = f->data->count};
    for (int64_t i = 0; i < f->data->count; i++) {
        const struct dialogue *line = &f->data->dialogues[i];
        assert_true(line->reply_count <= MOST_TOKENS);
        for (int64_t t = 0; t < line->reply_count; t++) f->advantage[i][t] = (float)line->advantage;
        logp[i] = f->reference_logp[i];
        f->turns[i] = (struct learn_turn){.history = line->history_tokens,
                                          .history_count = line->history_count,
                                          .reply = line->reply_tokens,
                                          .reply_count = line->reply_count,
                                          .logp_old = line->logp,
                                          .logp_ref = f->reference_logp[i],
                                          .advantage = f->advantage[i]};
        f->batch.all_tokens += line->reply_count;
    }
    for (int64_t m = 0; m <= MICROBATCHES; m++)
        f->begin[m] = microbatch_first(MICROBATCHES, f->data->count, m);
    CHECK(learner_logp(f->learner, f->learner->reference_run, f->turns, f->data->count, logp));
}

static void fixture_open(struct fixture *f, const char *name)
{
    char path[1024];
    struct config config;
    struct learner_exchange alone;
    memset(f, 0, sizeof *f);
    f->name = name;
    f->q = queue_new(2);
    config_defaults(&config);
    config.rollout.temperature = 0.8;
    config.ppo.clip = 0.1;
    config.kl.coef = 0.2;
    config.policy.clip_norm = 0.05;
    config.learn.microbatches = MICROBATCHES;
    f->settings = learn_settings_of(&config);
    f->policy = model_read(f, true);
    f->reference = model_read(f, false);
    learner_exchange_alone(&alone);
    CHECK(learner_create(&f->settings, &alone, f->policy, f->reference, false, &f->learner));
    snprintf(path, sizeof path, REGARD_SOURCE "/tests/golden/causal_update/%s/update.jsonl", name);
    CHECK(dataset_read(path, DATASET_UPDATE, &f->data));
    snprintf(path, sizeof path, REGARD_SOURCE "/tests/golden/causal_update/%s/expected.safetensors",
             name);
    CHECK(safetensors_open(path, &f->expected));
    const struct parameters *p = model_parameters(f->policy);
    f->before = malloc((size_t)p->size * sizeof(float));
    assert_non_null(f->before);
    CHECK(parameters_download(p, f->before));
    turns_fill(f);
}

static void fixture_close(struct fixture *f)
{
    free(f->before);
    safetensors_close(f->expected);
    dataset_free(f->data);
    learner_free(f->learner);
    model_destroy(f->policy);
    model_destroy(f->reference);
    f->q->op->destroy(f->q);
}

/* An expected tensor's values; the caller frees them. */
static float *expected(const struct fixture *f, const char *loss, const char *what, int64_t count)
{
    char name[160];
    snprintf(name, sizeof name, "%s.%s", loss, what);
    const struct tensor *tensor = safetensors_find(f->expected, name);
    if (!tensor || tensor->count != count)
        fail_msg("%s: no %s of %lld", f->name, name, (long long)count);
    float *values = malloc((size_t)count * sizeof(float));
    assert_non_null(values);
    CHECK(tensor_floats(tensor, values));
    return values;
}

static void check_metric(const struct fixture *f, const char *loss, const char *what,
                         const double saw[EPOCHS])
{
    float *want = expected(f, loss, what, EPOCHS);
    for (int i = 0; i < EPOCHS; i++)
        if (!(fabs(saw[i] - want[i]) <= tolerance * fabs(want[i]) + 1e-6))
            fail_msg("%s, %s, step %d: %s is %.8g, not %.8g", f->name, loss, i + 1, what, saw[i],
                     want[i]);
    free(want);
}

/* Every parameter's change, by that change's length. */
static void check_changes(const struct fixture *f, const char *loss)
{
    const struct parameters *p = model_parameters(f->policy);
    float *after = malloc((size_t)p->size * sizeof(float));
    assert_non_null(after);
    CHECK(parameters_download(p, after));
    for (int64_t i = 0; i < p->count; i++) {
        const struct parameter *one = &p->list[i];
        char what[160];
        double off = 0, length = 0;
        snprintf(what, sizeof what, "change.%s", one->name);
        float *want = expected(f, loss, what, one->count);
        for (int64_t j = 0; j < one->count; j++) {
            const double change =
                (double)after[one->offset + j] - (double)f->before[one->offset + j];
            off += (change - want[j]) * (change - want[j]);
            length += (double)want[j] * want[j];
        }
        free(want);
        if (!(sqrt(off) <= tolerance * sqrt(length)))
            fail_msg("%s, %s: the change of %s is off by %.3g of its length", f->name, loss,
                     one->name, sqrt(off / length));
    }
    free(after);
}

static void steps_are_pytorchs(const char *name, const struct loss *loss)
{
    struct fixture f;
    fixture_open(&f, name);
    double losses[EPOCHS], norms[EPOCHS], kl[EPOCHS], deviations[EPOCHS];
    for (int i = 0; i < EPOCHS; i++) {
        struct step_metrics metrics;
        CHECK(learner_step(f.learner, loss, &f.batch, 3e-3, &metrics));
        assert_false(metrics.skipped);
        losses[i] = metrics.loss;
        norms[i] = metrics.gradient_norm;
        kl[i] = metrics.kl;
        deviations[i] = metrics.ratio_deviation;
    }
    check_metric(&f, loss->name, "loss", losses);
    check_metric(&f, loss->name, "gradient_norm", norms);
    check_metric(&f, loss->name, "kl", kl);
    check_metric(&f, loss->name, "ratio_deviation", deviations);
    check_changes(&f, loss->name);
    fixture_close(&f);
}

static void ppo_steps_of_llama_are_pytorchs(void **state)
{
    (void)state;
    steps_are_pytorchs("llama", &loss_ppo);
}

static void ppo_steps_of_qwen2_are_pytorchs(void **state)
{
    (void)state;
    steps_are_pytorchs("qwen2", &loss_ppo);
}

static void ppo_steps_of_qwen3_are_pytorchs(void **state)
{
    (void)state;
    steps_are_pytorchs("qwen3", &loss_ppo);
}

static void sft_steps_of_all_three_are_pytorchs(void **state)
{
    (void)state;
    steps_are_pytorchs("llama", &loss_sft);
    steps_are_pytorchs("qwen2", &loss_sft);
    steps_are_pytorchs("qwen3", &loss_sft);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(ppo_steps_of_llama_are_pytorchs),
                                       cmocka_unit_test(ppo_steps_of_qwen2_are_pytorchs),
                                       cmocka_unit_test(ppo_steps_of_qwen3_are_pytorchs),
                                       cmocka_unit_test(sft_steps_of_all_three_are_pytorchs)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
