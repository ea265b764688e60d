/* The configuration: what is refused and with which words, and that the printout comes back. */
#include "src/base/config.h"
#include "src/base/file.h"
#include "src/base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* From a file and from memory: the same configuration, the same words behind another name. */
static status read_text(struct config *config, const char *text)
{
    char path[] = "/tmp/regard-config-XXXXXX";
    struct config file = *config;
    close(mkstemp(path));
    assert_null(file_write(path, text, strlen(text)));
    status of_file = config_read(&file, path);
    unlink(path);
    status s = config_read_text(config, "saved", text, strlen(text));
    assert_memory_equal(config, &file, sizeof file);
    assert_int_equal(status_code(s), status_code(of_file));
    if (s) {
        assert_int_equal(strncmp(status_message(s), "saved:", 6), 0);
        assert_string_equal(status_message(s) + strlen("saved"),
                            status_message(of_file) + strlen(path));
    }
    status_free(of_file);
    return s;
}

static void expect_error(status s, const char *part)
{
    if (!s || !strstr(status_message(s), part)) {
        print_error("found \"%s\", wanted \"%s\"\n", status_message(s), part);
        fail();
    }
    status_free(s);
}

static void a_mistake_in_a_file_is_refused_with_line_and_key(void **unused)
{
    (void)unused;
    static const struct {
        const char *text, *part;
    } table[] = {
        {"seed: 1\nreward:\n  alpah: 1\n",
         ":3: unknown key reward.alpah; did you mean reward.alpha?"},
        {"alpha: 1\n", ":1: unknown key alpha; did you mean reward.alpha?"},
        {"seed: 1\nseed: 2\n", ":2: duplicate key seed (first on line 1)"},
        {"reward: {alpha: 1}\nreward.alpha: 2\n", ":2: duplicate key reward.alpha"},
        {"ppo: {clip: 1}\nppo: {epochs: 2}\n", ":2: duplicate key ppo"},
        {"seed: one\n", ":1: seed must be an integer, not \"one\""},
        {"seed: \"1\"\n", ":1: seed must be an integer"},
        {"seed: 1.5\n", ":1: seed must be an integer"},
        {"policy: {lr: .nan}\n", "policy.lr must be a number"},
        {"policy: {lr: 0x1}\n", "policy.lr must be a number"},
        {"ppo.whiten: 1\n", "ppo.whiten must be true or false"},
        {"pipeline: {lag: 2}\n", "pipeline.lag must be between 0 and 1"},
        {"seed: 99999999999999999999\n", "seed must be between"},
        {"floor:\n  form: mixed\n", ":2: floor.form must be one of value|mix|none"},
        {"seed: 1\nprecision: fp16\n",
         ":2: precision: fp16: T5's activations overflow in fp16; take bf16"},
        {"precision: fp\n", ":1: precision must be one of auto|fp32|bf16, not \"fp\""},
        {"seed: [1]\n", "seed must be one value, not a list"},
        {"turns: {lambda: [1, x]}\n", "turns.lambda must be a number"},
        {"reward: 1\n", "reward holds keys"},
        {"- 1\n", "expected keys and values"},
        {"seed: 1\n---\nseed: 2\n", ":2: more than one YAML document"},
        {"seed: 1\n\tthreads: 1\n", ":2: bad YAML"},
        {"seed: &x 1\nthreads: *x\n", ":2: YAML aliases"},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct config config, before;
        config_defaults(&config);
        before = config;
        expect_error(read_text(&config, table[i].text), table[i].part);
        assert_memory_equal(&config, &before, sizeof config);
    }
}

static status set_all(struct config *config, const char *const *assignments)
{
    for (; *assignments; assignments++) TRY(config_set(config, *assignments));
    return NULL;
}

static void contradictions_are_refused(void **unused)
{
    (void)unused;
    static const struct {
        const char *set[4], *part;
        enum config_scope scope;
    } table[] = {
        {{"model.path="}, "train needs a model", CONFIG_TRAIN},
        {{"data.train="}, "sft needs data", CONFIG_SFT},
        {{"learn.microbatches=6"}, "power of two", CONFIG_TRAIN},
        {{"roles.learners=8"}, "multiple of roles.learners", CONFIG_TRAIN},
        {{"kl.estimator=k1"}, "k1 with kl.in: loss", CONFIG_TRAIN},
        {{"advantage=group", "rollout.candidates=1"}, "advantage: group", CONFIG_TRAIN},
        {{"rollout.user=model"}, "model.user_path", CONFIG_TRAIN},
        {{"rollout.temperature=0"}, "rollout.temperature", CONFIG_TRAIN},
        {{"precision=bf16", "device=cpu"}, "precision: bf16 needs device: cuda", CONFIG_INFERENCE},
        {{"precision=fp32", "rounding=stochastic"}, "rounding: stochastic", CONFIG_INFERENCE},
    };
    struct config good;
    config_defaults(&good);
    assert_null(config_set(&good, "model.path=here"));
    assert_null(config_set(&good, "data.train=there"));
    assert_null(config_check(&good, CONFIG_TRAIN));
    assert_null(config_check(&good, CONFIG_SFT));
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct config config = good;
        assert_null(set_all(&config, table[i].set));
        expect_error(config_check(&config, table[i].scope), table[i].part);
    }
    expect_error(config_set(&good, "seed"), "expected key=value");
    expect_error(config_set(&good, "precision=fp16"),
                 "--set precision=fp16: precision: fp16: T5's");
    expect_error(config_set(&good, "rewrd.beta=1"), "did you mean reward.beta?");
}

static void the_penalties_follow_the_task_until_they_are_given(void **unused)
{
    (void)unused;
    struct config config;
    config_defaults(&config);
    assert_true(config.reward.gamma == 1 && config.reward.gamma_self == 0);
    assert_null(config_set(&config, "task=single_turn"));
    assert_true(config.reward.gamma == 0 && config.reward.gamma_self == 1);
    assert_null(config_set(&config, "reward.gamma=0.25"));
    assert_null(config_set(&config, "task=dialogue"));
    assert_true(config.reward.gamma == 0.25 && config.reward.gamma_self == 0);
}

static void the_printout_reads_back_to_the_same_values(void **unused)
{
    (void)unused;
    static const char *const set[] = {"task=single_turn",
                                      "reward.alpha=0.1",
                                      "turns.lambda=[1, 2.5, 1e-30]",
                                      "policy.lr=1e-07",
                                      "text.user_marker=\"\\\"u\\\\: \\t\"",
                                      "data.train='a: #b\xc3\xa9'",
                                      "rollout.continue=best",
                                      "ppo.whiten=false",
                                      NULL};
    struct config config, back;
    config_defaults(&config);
    assert_null(set_all(&config, set));
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);
    assert_null(config_print(&config, stream));
    fclose(stream);
    config_defaults(&back);
    status s = read_text(&back, text);
    if (s) print_error("%s\n%s", status_message(s), text);
    assert_null(s);
    free(text);
    assert_memory_equal(&back, &config, sizeof config);
    assert_null(config_resume_conflict(&config, &back));
}

static void a_resumed_run_may_differ_in_ranks_and_paths_alone(void **unused)
{
    (void)unused;
    struct config config, now;
    config_defaults(&config);
    now = config;
    static const char *const free_keys[] = {"roles.learners=2", "threads=3",    "data.train=x",
                                            "train.updates=9",  "model.path=y", NULL};
    assert_null(set_all(&now, free_keys));
    assert_null(config_resume_conflict(&config, &now));
    assert_null(config_set(&now, "policy.lr=0.5"));
    assert_string_equal(config_resume_conflict(&config, &now), "policy.lr");
    now = config;
    assert_null(config_set(&now, "precision=fp32"));
    assert_string_equal(config_resume_conflict(&config, &now), "precision");
    now = config;
    assert_null(config_set(&now, "tune=false")); /* of how fast, not of what */
    assert_null(config_resume_conflict(&config, &now));
    assert_null(config_set(&now, "exact=true"));
    assert_string_equal(config_resume_conflict(&config, &now), "exact");
    now = config;
    assert_null(config_set(&now, "data.train=synthetic:1:9"));
    assert_string_equal(config_resume_conflict(&config, &now), "data.train");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_mistake_in_a_file_is_refused_with_line_and_key),
        cmocka_unit_test(contradictions_are_refused),
        cmocka_unit_test(the_penalties_follow_the_task_until_they_are_given),
        cmocka_unit_test(the_printout_reads_back_to_the_same_values),
        cmocka_unit_test(a_resumed_run_may_differ_in_ranks_and_paths_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
