/* States of every token behind so many layers, against Transformers'
 * (tools/reference/state_cases.py) and against the same texts read one by one. */
#include "src/base/json.h"
#include "src/model/states.h"
#include "tests/model/model_test.h"

enum { MOST_TEXTS = 8, MOST_TOKENS = 64 };

/* fp32: the sums' order leaves some 1e-6.  bf16: 8 bits a rounding, some dozens behind each other.
 */
static double tolerance(void)
{
    return real_is_bf16() ? 3e-2 : 1e-5;
}

struct texts {
    int32_t begin[MOST_TEXTS + 1], tokens[MOST_TOKENS];
    int64_t count;
};

static void texts_read(const json_t *json, struct texts *t)
{
    *t = (struct texts){.count = (int64_t)json_array_size(json)};
    assert_in_range(t->count, 2, MOST_TEXTS);
    for (size_t i = 0; i < (size_t)t->count; i++) {
        const json_t *text = json_array_get(json, i);
        const int32_t begin = t->begin[i];
        for (size_t k = 0; k < json_array_size(text); k++)
            t->tokens[begin + (int32_t)k] = (int32_t)json_integer_value(json_array_get(text, k));
        t->begin[i + 1] = begin + (int32_t)json_array_size(text);
    }
}

static void expect_layer(const char *folder, size_t layer, const float *got, int64_t width,
                         const json_t *rows)
{
    double off = 0, length = 0;
    for (size_t r = 0; r < json_array_size(rows); r++) {
        const json_t *row = json_array_get(rows, r);
        assert_int_equal(json_array_size(row), width);
        for (size_t i = 0; i < (size_t)width; i++) {
            const double want = json_number_value(json_array_get(row, i));
            const double difference = (double)got[r * (size_t)width + i] - want;
            off += difference * difference;
            length += want * want;
        }
    }
    if (!(sqrt(off) <= tolerance() * sqrt(length)))
        fail_msg("%s, layer %zu: states are off by %.3g of their length", folder, layer,
                 sqrt(off / length));
}

static void model_checked(struct queue *q, const json_t *one)
{
    char folder[512];
    const char *name = json_string_value(json_object_get(one, "folder"));
    snprintf(folder, sizeof folder, REGARD_SOURCE "/tests/golden/%s/model", name);
    struct model_shape *shape;
    struct model *model;
    CHECK(model_folder_shape(folder, &shape));
    CHECK(model_create(q, shape, false, &model));
    CHECK(model_folder_load(folder, model));
    CHECK(model_refresh(model));
    struct texts texts;
    texts_read(json_object_get(one, "texts"), &texts);
    const json_t *layers = json_object_get(one, "states");
    const size_t floats = (size_t)(texts.begin[texts.count] * shape->width);
    float *together = malloc(floats * sizeof(float)), *alone = malloc(floats * sizeof(float));
    assert_true(together && alone);
    assert_int_equal(json_array_size(layers), model_states_layers(model) + 1);
    for (size_t layer = 0; layer < json_array_size(layers); layer++) {
        struct model_states *states;
        CHECK(model_states_create(model, (int64_t)layer, &states));
        CHECK(model_states_reserve(states, texts.count, MOST_TOKENS, 16));
        CHECK(model_states_read(states, texts.tokens, texts.begin, texts.count, together));
        expect_layer(name, layer, together, shape->width, json_array_get(layers, layer));
        for (int64_t i = 0; i < texts.count; i++) {
            const int32_t begin[2] = {0, texts.begin[i + 1] - texts.begin[i]};
            CHECK(model_states_read(states, texts.tokens + texts.begin[i], begin, 1,
                                    alone + texts.begin[i] * shape->width));
        }
        assert_memory_equal(together, alone, floats * sizeof(float));
        model_states_destroy(states);
    }
    struct model_states *none;
    status s = model_states_create(model, (int64_t)json_array_size(layers), &none);
    assert_non_null(s);
    status_free(s);
    free(together);
    free(alone);
    model_destroy(model);
    free(shape);
}

static void states_are_those_of_transformers(void **unused)
{
    (void)unused;
    json_t *fixture;
    struct queue *q = queue_new(1);
    CHECK(json_read(REGARD_SOURCE "/tests/golden/states.json", &fixture));
    const json_t *models = json_object_get(fixture, "models");
    assert_int_equal(json_array_size(models), 5);
    for (size_t m = 0; m < json_array_size(models); m++)
        model_checked(q, json_array_get(models, m));
    json_decref(fixture);
    q->op->destroy(q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(states_are_those_of_transformers)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
