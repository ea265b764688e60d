/* A tiny T5 over bytes that reasons in blocks of four tokens. */
#ifndef REGARD_TESTS_ROLLOUT_REASONING_FIXTURE_H
#define REGARD_TESTS_ROLLOUT_REASONING_FIXTURE_H

#include "src/base/config.h"
#include "src/rollout/generator.h"
#include "src/rollout/language.h"
#include "tests/model/model_test.h"

enum { QUESTION = 6 }; /* tokens */

struct fixture {
    struct queue *q;
    struct model *model;
    struct generator *generator;
    struct language *language;
    struct config config;
};

static MODEL_TEST_UNUSED int open_fixture(void **state)
{
    struct fixture *f = *state = calloc(1, sizeof *f);
    assert_non_null(f);
    f->q = queue_new(2);
    struct t5_shape shape = tiny_shape(true);
    shape.common.vocabulary = 384;
    CHECK(model_create(f->q, &shape.common, false, &f->model));
    CHECK(model_initialize(f->model, 3));
    parameters_stir(model_parameters(f->model), 5);
    CHECK(model_refresh(f->model));
    CHECK(generator_create(f->model, &statistics_standard, &f->generator));
    config_defaults(&f->config);
    CHECK(config_set(&f->config, "tokenizer.path=bytes"));
    const struct language_settings words = language_settings_of(&f->config);
    CHECK(language_open(&words, "", NULL, &f->language));
    CHECK(config_set(&f->config, "task=reasoning"));
    CHECK(config_set(&f->config, "cot.block=4"));
    CHECK(config_set(&f->config, "rollout.max_new_tokens=80"));
    return 0;
}

static MODEL_TEST_UNUSED int close_fixture(void **state)
{
    struct fixture *f = *state;
    language_close(f->language);
    generator_destroy(f->generator);
    model_destroy(f->model);
    f->q->op->destroy(f->q);
    free(f);
    return 0;
}

/* settings: "key=value", ends in NULL. */
static MODEL_TEST_UNUSED struct rollout_settings settings_of(const struct fixture *f,
                                                             const char *const *settings)
{
    struct config config = f->config;
    for (; *settings; settings++) CHECK(config_set(&config, *settings));
    struct rollout_settings out = rollout_settings_of(&config);
    CHECK(rollout_settings_fit(&out, &config, model_shape(f->model), f->language->tokenizer));
    return out;
}

#endif
