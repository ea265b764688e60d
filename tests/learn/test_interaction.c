/* A step of interaction distillation against PyTorch in float64: tests/golden/interaction.json, by
 * tools/reference/interaction_oracle.py (the file's form is described there).  Teacher and student
 * have unequal heads, the student's keys fewer heads than its queries. */
#include "src/base/config.h"
#include "src/base/json.h"
#include "src/learn/aligner.h"
#include "src/learn/pack.h"
#include "src/learn/step.h"
#include "tests/model/model_test.h"

enum { PAIRS_MAX = 8, SEQUENCE_MAX = 40, TURNS_MAX = 2 * PAIRS_MAX };

struct lesson {
    struct queue *q;
    struct config config;
    struct value_model *student, *teacher;
    struct learner *learner;
    struct aligner *aligner;
    json_t *data;
    struct learn_turn turns[TURNS_MAX];
    int32_t tokens[TURNS_MAX][SEQUENCE_MAX];
    uint8_t markers[TURNS_MAX][SEQUENCE_MAX];
    int64_t pairs, begin[3];
};

static double number(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    if (!json_is_number(value)) fail_msg("no number \"%s\"", key);
    return json_number_value(value);
}

static int64_t tokens_read(const json_t *list, int32_t *out)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        out[i] = (int32_t)json_integer_value(json_array_get(list, i));
    return (int64_t)json_array_size(list);
}

static void turn_read(struct lesson *l, const json_t *pair, int64_t turn, const char *reply)
{
    struct learn_turn *one = &l->turns[turn];
    int32_t markers[SEQUENCE_MAX];
    *one =
        (struct learn_turn){.history = l->tokens[turn], .markers = l->markers[turn], .apart = true};
    one->prompt = tokens_read(json_object_get(pair, "prompt"), l->tokens[turn]);
    one->history_count =
        one->prompt + tokens_read(json_object_get(pair, reply), l->tokens[turn] + one->prompt);
    assert_true(one->history_count <= SEQUENCE_MAX);
    const int64_t count = tokens_read(json_object_get(pair, "markers"), markers);
    for (int64_t i = 0; i < count; i++) l->markers[turn][markers[i]] = 1;
    l->markers[turn][one->history_count - 1] = 1;
    one->target = json_is_true(json_object_get(pair, "second")) ? -1 : 1;
}

static void head_set(struct lesson *l, struct value_model *value, const char *whose)
{
    struct parameters *p = value_model_parameters(value);
    const struct parameter *weight = parameters_find(p, "value_head.weight");
    const struct parameter *bias = parameters_find(p, "value_head.bias");
    char name[40];
    snprintf(name, sizeof name, "%s_head", whose);
    const json_t *list = json_object_get(l->data, name);
    assert_int_equal(json_array_size(list), weight->count);
    snprintf(name, sizeof name, "%s_bias", whose);
    float *host = host_of(l->q, p->values, p->size);
    for (size_t i = 0; i < json_array_size(list); i++)
        host[weight->offset + (int64_t)i] = (float)json_number_value(json_array_get(list, i));
    host[bias->offset] = (float)number(l->data, name);
    CHECK(parameters_upload(p, host));
    free(host);
    CHECK(value_model_refresh(value));
}

static struct value_model *value_read(struct lesson *l, const char *folder, const char *whose,
                                      bool with_gradients)
{
    char path[512];
    struct model_shape *shape;
    struct model *model;
    struct value_model *value;
    snprintf(path, sizeof path, REGARD_SOURCE "/tests/golden/%s/model", folder);
    CHECK(model_folder_shape(path, &shape));
    CHECK(model_create(l->q, shape, true, &model));
    CHECK(model_folder_load(path, model));
    CHECK(value_model_create(l->q, shape, with_gradients, &value));
    CHECK(value_model_start_from(value, model));
    model_destroy(model);
    free(shape);
    head_set(l, value, whose);
    return value;
}

static void lesson_open(struct lesson *l)
{
    *l = (struct lesson){.q = queue_new(2)};
    CHECK(json_read(REGARD_SOURCE "/tests/golden/interaction.json", &l->data));
    const json_t *list = json_object_get(l->data, "pairs");
    l->pairs = (int64_t)json_array_size(list);
    assert_true(l->pairs <= PAIRS_MAX);
    for (int64_t i = 0; i < l->pairs; i++) {
        const json_t *pair = json_array_get(list, (size_t)i);
        turn_read(l, pair, 2 * i, "chosen");
        turn_read(l, pair, 2 * i + 1, "rejected");
    }
    l->begin[1] = 2;
    l->begin[2] = 2 * l->pairs;
    config_defaults(&l->config);
    CHECK(config_set(&l->config, "learn.microbatches=2"));
    CHECK(config_set(&l->config, "rm.objective=interaction"));
    l->student = value_read(l, "causal_update/llama", "student", true);
    l->teacher = value_read(l, "relu-tied", "teacher", false);
}

static void lesson_close(struct lesson *l)
{
    learner_free(l->learner);
    aligner_destroy(l->aligner);
    value_model_destroy(l->student);
    value_model_destroy(l->teacher);
    json_decref(l->data);
    l->q->op->destroy(l->q);
}

static void set(struct lesson *l, const char *key, const char *value)
{
    char assignment[80];
    snprintf(assignment, sizeof assignment, "%s=%s", key, value);
    CHECK(config_set(&l->config, assignment));
}

static void set_number(struct lesson *l, const char *key, double value)
{
    char text[40];
    snprintf(text, sizeof text, "%.17g", value);
    set(l, key, text);
}

/* A learner of the present settings; without rm.align.weight without an aligner. */
static void learner_open(struct lesson *l)
{
    struct learner_exchange alone;
    const struct learn_settings settings = learn_settings_of(&l->config);
    learner_free(l->learner);
    aligner_destroy(l->aligner);
    l->aligner = NULL;
    learner_exchange_alone(&alone);
    CHECK(learner_create_reward_model(&settings, &alone, l->student, &l->learner));
    if (settings.align.weight == 0) return;
    struct value_model *teacher = settings.align.control == ALIGN_UNIFORM ? NULL : l->teacher;
    CHECK(aligner_create(&settings.align, teacher, l->student, &l->aligner));
    l->learner->aligner = l->aligner;
}

/* The weights stay: the learning rate is 0. */
static struct step_metrics step(struct lesson *l, const struct loss *loss)
{
    struct step_metrics out;
    const struct learn_batch batch = {.turns = l->turns,
                                      .turn_count = 2 * l->pairs,
                                      .begin = l->begin,
                                      .all_turns = 2 * l->pairs};
    CHECK(learner_step(l->learner, loss, &batch, 0, &out));
    return out;
}

static void check_near(double saw, double want, const char *what, size_t at)
{
    if (!(fabs(saw - want) <= 2e-5 * (1 + fabs(want))))
        fail_msg("case %zu: %s is %.9g, the oracle's %.9g", at, what, saw, want);
}

static void a_step_is_the_oracles(void **state)
{
    (void)state;
    struct lesson l;
    lesson_open(&l);
    const json_t *cases = json_object_get(l.data, "cases"), *one;
    size_t i;
    json_array_foreach(cases, i, one)
    {
        set(&l, "rm.align.form", json_string_value(json_object_get(one, "form")));
        set(&l, "rm.align.control", json_string_value(json_object_get(one, "control")));
        set_number(&l, "rm.align.layers", number(one, "layers"));
        set_number(&l, "rm.align.weight", number(one, "weight"));
        set_number(&l, "rm.margin", number(one, "margin"));
        set_number(&l, "rm.smoothing", number(one, "smoothing"));
        for (int recompute = 0; recompute < 2; recompute++) {
            l.config.learn.recompute = recompute;
            learner_open(&l);
            const struct step_metrics saw = step(&l, &loss_interaction);
            check_near(saw.loss, number(one, "loss"), "loss", i);
            check_near(saw.alignment, number(one, "alignment"), "alignment", i);
            check_near(saw.accuracy, number(one, "accuracy"), "accuracy", i);
            check_near(saw.gradient_norm, number(one, "gradient_norm"), "gradient norm", i);
        }
    }
    assert_true(i >= 6);
    lesson_close(&l);
}

/* Without an aligner it is the loss of preferences, though a pair's prompt is read twice. */
static void without_weight_it_is_bradley_terry(void **state)
{
    (void)state;
    struct lesson l;
    lesson_open(&l);
    set(&l, "rm.align.weight", "0");
    learner_open(&l);
    const struct step_metrics saw = step(&l, &loss_interaction),
                              want = step(&l, &loss_bradley_terry);
    assert_true(saw.loss == want.loss && saw.gradient_norm == want.gradient_norm);
    assert_true(saw.alignment == 0);
    lesson_close(&l);
}

/* Rows at others' places are others, and the same ones again, however a batch is cut. */
static void permuted_rows_are_others_and_the_same_again(void **state)
{
    (void)state;
    struct lesson l;
    lesson_open(&l);
    learner_open(&l);
    const double plain = step(&l, &loss_interaction).alignment;
    set(&l, "rm.align.control", "permuted");
    learner_open(&l);
    const double saw = step(&l, &loss_interaction).alignment;
    assert_true(fabs(saw - plain) > 0.01);
    set(&l, "learn.history_tokens", "1"); /* a pair a pass */
    learner_open(&l);
    const double again = step(&l, &loss_interaction).alignment;
    if (fabs(again - saw) > 1e-12) fail_msg("%.17g, then %.17g", saw, again);
    set(&l, "seed", "7");
    learner_open(&l);
    assert_true(fabs(step(&l, &loss_interaction).alignment - saw) > 1e-4);
    lesson_close(&l);
}

static void a_reserved_lesson_allocates_no_more(void **state)
{
    (void)state;
    struct lesson l;
    struct counted_queue counted;
    lesson_open(&l);
    set(&l, "rm.align.layers", "2");
    learner_open(&l);
    const struct learn_limits limits = {
        .turns = 2 * l.pairs, .longest_history = 16, .longest_reply = 1, .spans = 1, .together = 2};
    const struct model_limits pass = pack_limits(&l.learner->settings, &limits);
    CHECK(learner_reserve(l.learner, &limits));
    CHECK(aligner_reserve(l.aligner, &pass));
    allocations_count(l.q, &counted);
    step(&l, &loss_interaction);
    assert_int_equal(allocations_counted(l.q, &counted), 0);
    lesson_close(&l);
}

/* The second reply first: the prompt, it, the first. */
static void a_teacher_reads_both_in_the_order_it_is_told(void **state)
{
    (void)state;
    const int32_t a[] = {5, 6, 7, 1}, b[] = {5, 6, 8, 9, 1},
                  want[2][7] = {{5, 6, 7, 1, 8, 9, 1}, {5, 6, 8, 9, 1, 7, 1}};
    const struct learn_turn pair[2] = {{.history = a, .history_count = 4, .prompt = 2},
                                       {.history = b, .history_count = 5, .prompt = 2}};
    for (int second = 0; second < 2; second++) {
        int32_t saw[9];
        assert_int_equal(aligner_join(pair, second, saw), 7);
        assert_memory_equal(saw, want[second], sizeof want[second]);
    }
}

static void what_cannot_be_aligned_is_refused(void **state)
{
    (void)state;
    struct lesson l;
    lesson_open(&l);
    struct align_settings settings = {.weight = 1, .layers = 3};
    struct aligner *aligner;
    status s = aligner_create(&settings, l.teacher, l.student, &aligner);
    assert_non_null(s);
    assert_non_null(strstr(status_message(s), "rm.align.layers: 3, but the student has 2"));
    status_free(s);
    lesson_close(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_step_is_the_oracles),
        cmocka_unit_test(without_weight_it_is_bradley_terry),
        cmocka_unit_test(permuted_rows_are_others_and_the_same_again),
        cmocka_unit_test(a_reserved_lesson_allocates_no_more),
        cmocka_unit_test(a_teacher_reads_both_in_the_order_it_is_told),
        cmocka_unit_test(what_cannot_be_aligned_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
