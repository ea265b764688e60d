/* The configuration: what is refused and with which words, and that the printout comes back. */
#include "src/base/config.h"
#include "src/base/config_keys.h"
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
        {"alpha: 1\n", ":1: unknown key alpha; did you mean adapter.alpha or reward.alpha?"},
        {"seed: 1\nseed: 2\n", ":2: duplicate key seed (first on line 1)"},
        {"reward: {alpha: 1}\nreward.alpha: 2\n", ":2: duplicate key reward.alpha"},
        {"ppo: {clip: 1}\nppo: {epochs: 2}\n", ":2: duplicate key ppo"},
        {"seed: one\n", ":1: seed must be an integer, not \"one\""},
        {"seed: \"1\"\n", ":1: seed must be an integer"},
        {"seed: 1.5\n", ":1: seed must be an integer"},
        {"policy: {lr: .nan}\n", "policy.lr must be a number"},
        {"policy: {lr: 0x1}\n", "policy.lr must be a number"},
        {"ppo.whiten: 1\n", "ppo.whiten must be true or false"},
        {"pipeline: {lag: 5}\n", "pipeline.lag must be between 0 and 4"},
        {"seed: 99999999999999999999\n", "seed must be between"},
        {"floor:\n  form: mixed\n", ":2: floor.form must be one of value|mix|none"},
        {"seed: 1\nprecision: fp16\n",
         ":2: precision: fp16: activations overflow in fp16; take bf16"},
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
        const char *set[5], *part;
        enum config_scope scope;
    } table[] = {
        {{"model.path="}, "train needs a model", CONFIG_TRAIN},
        {{"data.train="}, "sft needs data", CONFIG_SFT},
        {{"learn.microbatches=6"}, "power of two", CONFIG_TRAIN},
        {{"roles.learners=8"},
         "roles.learners (8) must divide learn.microbatches (4): 1, 2 or 4",
         CONFIG_TRAIN},
        {{"kl.estimator=k1"}, "k1 with kl.in: loss", CONFIG_TRAIN},
        {{"pipeline.lag=1", "rollout.continue=best"}, "needs reward.scale: none", CONFIG_TRAIN},
        {{"ppo.lag_correction=truncated"}, "does nothing with pipeline.lag: 0", CONFIG_TRAIN},
        {{"pipeline.lag=2", "ppo.ratio=sequence"}, "has no truncated weights", CONFIG_TRAIN},
        {{"pipeline.lag=2", "ppo.epochs=1", "ppo.form=cispo"},
         "does nothing with ppo.epochs: 1 and truncated weights",
         CONFIG_TRAIN},
        {{"pipeline.lag=1", "ppo.lag_cap=3"}, "ppo.lag_cap does nothing", CONFIG_TRAIN},
        {{"advantage=group", "rollout.candidates=1"}, "advantage: group", CONFIG_TRAIN},
        {{"advantage=group", "turns.lambda=[1, 2]"},
         "turns.lambda does nothing with advantage: group",
         CONFIG_TRAIN},
        {{"advantage=group", "turns.discount=0.9"},
         "turns.discount does nothing with advantage: group",
         CONFIG_TRAIN},
        {{"advantage=group", "returns.center=true"},
         "returns.center does nothing with advantage: group",
         CONFIG_TRAIN},
        {{"advantage=group", "group.filter=true", "kl.in=reward"},
         "group.filter does nothing with kl.in: reward",
         CONFIG_TRAIN},
        {{"group.form=global"}, "group.form does nothing without advantage: group", CONFIG_TRAIN},
        {{"group.filter=true"}, "group.filter does nothing without advantage: group", CONFIG_TRAIN},
        {{"advantage=group", "group.filter=true"},
         "group.filter does nothing with the source attention",
         CONFIG_TRAIN},
        {{"advantage=group", "group.filter=true", "reward.sources=verifier,logprob:0.1"},
         "group.filter does nothing with the source logprob",
         CONFIG_TRAIN},
        {{"reward.sources=verifier", "reward.alpha=2"},
         "reward.alpha is of the source attention, which reward.sources does not list",
         CONFIG_TRAIN},
        {{"reward.sources=random", "floor.form=mix"}, "floor.form is of the source", CONFIG_TRAIN},
        {{"reward.sources=random", "floor.kappa=0"}, "floor.kappa is of the source", CONFIG_TRAIN},
        {{"reward.sources=random", "coverage.form=mass"},
         "coverage.form is of the source",
         CONFIG_TRAIN},
        {{"reward.sources=random", "task=single_turn", "reward.gamma_self=0.5"},
         "reward.gamma_self is of the source",
         CONFIG_TRAIN},
        {{"reward.sources=random", "task=reasoning", "rollout.turns=1", "cot.block_form=steps"},
         "cot.block_form is of the source",
         CONFIG_TRAIN},
        {{"advantage=group", "task=reasoning", "rollout.turns=1", "cot.lambda_final=3"},
         "cot.lambda_final does nothing with advantage: group",
         CONFIG_TRAIN},
        {{"cot.history=reencode"}, "keys of cot do nothing without task: reasoning", CONFIG_SFT},
        {{"cot.block=6"}, "keys of cot do nothing without task: reasoning", CONFIG_TRAIN},
        {{"task=reasoning", "cot.answer_marker=\" \""}, "more than spaces", CONFIG_SFT},
        {{"task=reasoning", "cot.history=reencode", "sft.role=user"},
         "cot.history: reencode cuts an assistant's replies",
         CONFIG_SFT},
        {{"ppo.clip_high=0.3", "ppo.epochs=1"},
         "ppo.clip_high does nothing with ppo.epochs: 1",
         CONFIG_TRAIN},
        {{"ppo.ratio=sequence", "ppo.epochs=1"},
         "ppo.ratio: sequence does nothing with ppo.epochs: 1",
         CONFIG_TRAIN},
        {{"ppo.form=cispo", "ppo.epochs=1"},
         "ppo.form: cispo does nothing with ppo.epochs: 1",
         CONFIG_TRAIN},
        {{"reference.every=5", "kl.coef=0"}, "reference.every does nothing", CONFIG_TRAIN},
        {{"reference.every=200"},
         "reference.every: 200 does nothing within train.updates: 200",
         CONFIG_TRAIN},
        {{"reference.every=5", "model.reference_path=other"},
         "model.reference_path names a model of its own",
         CONFIG_TRAIN},
        {{"reference.every=5", "scorer=frozen"},
         "reference.every moves the reference, and scorer: frozen",
         CONFIG_TRAIN},
        {{"credit.form=entropy", "rollout.max_new_tokens=1"},
         "credit.form does nothing with rollout.max_new_tokens: 1",
         CONFIG_TRAIN},
        {{"reward.overlong=0.5", "control=length"},
         "reward.overlong does nothing with control: length",
         CONFIG_TRAIN},
        {{"single_turn.context=prompt"},
         "single_turn.context does nothing without task: single_turn",
         CONFIG_INFERENCE},
        {{"rollout.user=model"}, "model.user_path", CONFIG_TRAIN},
        {{"rollout.temperature=0"}, "rollout.temperature", CONFIG_TRAIN},
        {{"precision=bf16", "device=cpu"}, "precision: bf16 needs device: cuda", CONFIG_INFERENCE},
        {{"precision=fp32", "rounding=stochastic"}, "rounding: stochastic", CONFIG_INFERENCE},
        {{"eval.history=own", "task=single_turn", "single_turn.context=prompt"},
         "eval.history: own does nothing",
         CONFIG_TRAIN},
        {{"history.summary=mean"}, "history.summary is a policy's", CONFIG_REWARD},
        {{"history.summary=learned", "adapter.rank=2"}, "set adapter.rank to 0", CONFIG_SFT},
        {{"history.summary_slots=2"}, "history.summary_slots does nothing", CONFIG_SFT},
        {{"history.summary=mean", "task=reasoning", "rollout.turns=1"},
         "history.summary needs a task of dialogues",
         CONFIG_SFT},
        {{"history.summary=mean", "rollout.user=model", "model.user_path=u"},
         "with rollout.user: model leave it none",
         CONFIG_TRAIN},
        {{"history.summary=mean", "task=single_turn", "single_turn.context=prompt"},
         "history.summary does nothing with single_turn.context: prompt",
         CONFIG_SFT},
        {{"history.prune=idf", "task=single_turn", "single_turn.context=prompt"},
         "history.prune does nothing with single_turn.context: prompt",
         CONFIG_SFT},
        {{"history.prune=mass", "task=reasoning", "rollout.turns=1"},
         "history.prune: mass does nothing in task: reasoning",
         CONFIG_TRAIN},
        {{"reward.sources=plugin"}, "plugin, which needs reward.plugin", CONFIG_INFERENCE},
        {{"reward.plugin=a.so"}, "reward.sources has no plugin", CONFIG_TRAIN},
        {{"reward.command=cat"}, "reward.sources has no command; add command:1", CONFIG_TRAIN},
        {{"reward.sources=command", "reward.command=\"a\\nb\""}, "one line", CONFIG_TRAIN},
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
    /* A run from before such a key was refused goes on. */
    static const char *const kept[][6] = {
        {"reward.sources=verifier", "reward.beta=0.7"},
        {"advantage=group", "group.filter=true"},
        {"reference.every=200"},
        {"audit.judge=gold"},
        {"advantage=group", "turns.discount=0.5"},
        {"group.form=mean"},
        {"audit.every=201"},
    };
    for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++) {
        struct config config = good;
        assert_null(set_all(&config, kept[i]));
        expect_error(config_check(&config, CONFIG_TRAIN), "");
        assert_null(config_check(&config, CONFIG_RESUME));
    }
    /* A switch that is said to be off makes idle what a file asks for. */
    struct config off = good;
    assert_null(config_set(&off, "audit.judge=gold"));
    assert_null(config_set(&off, "audit.every=0"));
    assert_null(config_check(&off, CONFIG_TRAIN));
    struct config contradiction = good;
    assert_null(config_set(&contradiction, "learn.microbatches=3"));
    expect_error(config_check(&contradiction, CONFIG_RESUME), "power of two");
    /* What only some values refuse. */
    static const char *const fine[][6] = {
        {"advantage=group", "turns.lambda=[1, 1]", "kl.in=reward", "group.form=global"},
        {"advantage=group", "group.filter=true", "reward.sources=verifier,majority,logprob:0",
         "kl.in=reward", "kl.coef=0"},
        {"advantage=group", "group.filter=true", "reward.alpha=0", "reward.beta=0"},
        {"advantage=group", "group.filter=true", "control=length", "rollout.turns=2"},
        {"advantage=group", "task=reasoning", "rollout.turns=1"},
        {"advantage=group", "task=reasoning", "rollout.turns=1", "cot.lambda_final=1"},
        {"reward.sources=verifier", "reward.beta=0", "reward.gamma=0", "floor.form=none"},
        {"reward.sources=random", "task=single_turn", "reward.gamma=0", "reward.gamma_self=1"},
        {"reward.sources=\"\"", "reward.alpha=2", "reference.every=199", "floor.kappa=0"},
        {"ppo.form=cispo", "ppo.epochs=1", "pipeline.lag=1", "ppo.clip_high=4"},
        {"returns.center=true", "reference.every=5", "credit.form=random", "entropy.coef=0.01"},
        {"advantage=group", "group.form=none", "returns.center=true", "ppo.epochs=1"},
        {"task=single_turn", "single_turn.context=prompt", "ppo.loss=constant",
         "reward.overlong=1"},
    };
    for (size_t i = 0; i < sizeof fine / sizeof fine[0]; i++) {
        struct config config = good;
        assert_null(set_all(&config, fine[i]));
        assert_null(config_check(&config, CONFIG_TRAIN));
    }
    /* sft has no turns of its own, and its users' messages no blocks. */
    static const char *const tuned[][3] = {{"task=reasoning", "cot.history=reencode"},
                                           {"task=reasoning", "sft.role=user"}};
    for (size_t i = 0; i < sizeof tuned / sizeof tuned[0]; i++) {
        struct config config = good;
        assert_null(set_all(&config, tuned[i]));
        assert_null(config_check(&config, CONFIG_SFT));
    }
    expect_error(config_set(&good, "seed"), "expected key=value");
    assert_null(config_set(&good, "seed=1e3"));
    assert_int_equal(good.seed, 1000);
    assert_null(config_set(&good, "seed=2.50e1"));
    assert_int_equal(good.seed, 25);
    expect_error(config_set(&good, "seed=2.55e1"), "must be an integer, not \"2.55e1\"");
    expect_error(config_set(&good, "seed=1e400"), "must be an integer");
    expect_error(config_set(&good, "seed=."), "must be an integer");
    expect_error(config_set(&good, "precision=fp16"),
                 "--set precision=fp16: precision: fp16: activations");
    expect_error(config_set(&good, "rewrd.beta=1"), "did you mean reward.beta?");
    expect_error(config_set(&good, "thinking_budget=20"), "did you mean cot.reason_tokens?");
    expect_error(config_set(&good, "cot.reencode=true"), "did you mean cot.history (joint or");
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
    assert_memory_equal(&back, &config, offsetof(struct config, given));
    for (int i = 0; i < config_key_count; i++)
        assert_int_equal(config_follows_task(&back, &config_keys[i]),
                         config_follows_task(&config, &config_keys[i]));
    static const struct config_changes none;
    assert_null(config_resume_check(&config, &back, &none));
}

static void a_resumed_run_may_differ_in_ranks_and_paths_alone(void **unused)
{
    (void)unused;
    static const struct config_changes none;
    struct config config, now;
    config_defaults(&config);
    now = config;
    static const char *const free_keys[] = {
        "roles.learners=2", "threads=3",    "data.train=x", "train.updates=9",
        "model.path=y",     "eval.every=7", "tune=false",   NULL};
    assert_null(set_all(&now, free_keys));
    assert_null(config_resume_check(&config, &now, &none));
    static const struct {
        const char *set, *key;
    } table[] = {{"seed=9", "key seed differs"},
                 {"precision=fp32", "key precision differs"},
                 {"exact=true", "key exact differs"},
                 {"turns.lambda=[1, 2]", "key turns.lambda differs"},
                 {"data.train=synthetic:1:9", "key data.train differs"}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        now = config;
        assert_null(config_set(&now, table[i].set));
        expect_error(config_resume_check(&config, &now, &none), table[i].key);
    }
    /* Limits that something is reckoned from. */
    assert_null(config_set(&config, "policy.schedule=cosine"));
    assert_null(config_set(&config, "guard.patience=2"));
    now = config;
    assert_null(config_set(&now, "train.updates=9"));
    expect_error(config_resume_check(&config, &now, &none), "--change train.updates=VALUE");
    now = config;
    assert_null(config_set(&now, "eval.every=9"));
    expect_error(config_resume_check(&config, &now, &none), "eval.every differs");
}

/* Checkpoints from before single_turn.context and kl.clamp: the model saw the prompt alone, and
 * nothing bounded a token's estimate. */
static void a_saved_configuration_without_a_key_has_what_runs_did_before_it(void **unused)
{
    (void)unused;
    static const struct {
        const char *text;
        int context;
        double clamp;
    } table[] = {{"task: single_turn\n", SINGLE_TURN_PROMPT, 0},
                 {"task: dialogue\n", SINGLE_TURN_FULL, 0},
                 {"task: single_turn\nsingle_turn:\n  context: full\n", SINGLE_TURN_FULL, 0},
                 {"task: single_turn\nsingle_turn:\n  context: prompt\nkl:\n  clamp: 3\n",
                  SINGLE_TURN_PROMPT, 3}};
    static const struct config_changes none;
    struct config now, before;
    config_defaults(&now);
    assert_null(config_set(&now, "task=single_turn"));
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        const char *text = table[i].text;
        assert_null(config_read_saved(&before, "saved", text, strlen(text)));
        assert_int_equal(before.single_turn.context, table[i].context);
        assert_true(before.kl.clamp == table[i].clamp);
    }
    assert_null(config_read_saved(&before, "saved", table[0].text, strlen(table[0].text)));
    assert_null(config_set(&now, "kl.clamp=0"));
    expect_error(config_resume_check(&before, &now, &none), "key single_turn.context differs");
    assert_null(config_set(&now, "single_turn.context=prompt"));
    assert_null(config_resume_check(&before, &now, &none));
}

static void a_learning_rate_changes_on_resume_when_it_is_asked_for(void **unused)
{
    (void)unused;
    struct config_changes changes = {.count = 0};
    struct config config, now;
    config_defaults(&config);
    now = config;
    assert_null(config_set(&now, "policy.lr=0.5"));
    expect_error(config_resume_check(&config, &now, &changes),
                 "key policy.lr differs from the run that is resumed, where it was 2.0e-05, not "
                 "0.5; set it back, or ask for it: --change policy.lr=VALUE");
    struct config other = config;
    assert_null(config_set(&other,
                           "reward.format="
                           "01234567890123456789012345678901234567890123456789012345678901"));
    expect_error(config_resume_check(&other, &config, &changes),
                 "where it was "
                 "\"01234567890123456789012345678901234567890123456789012345678..., not \"\"; set");
    assert_null(config_change(&now, &changes, "policy.lr=0.25"));
    assert_null(config_change(&now, &changes, "policy.schedule=cosine"));
    assert_null(config_change(&now, &changes, "kl.coef=0.2")); /* as it was */
    assert_null(config_resume_check(&config, &now, &changes));
    const char *name;
    char was[64], is[64];
    assert_int_equal(changes.count, 3);
    assert_true(config_changed(&config, &now, &changes, 0, &name, was, is));
    assert_string_equal(name, "policy.lr");
    assert_string_equal(was, "2.0e-05");
    assert_string_equal(is, "0.25");
    assert_true(config_changed(&config, &now, &changes, 1, &name, was, is));
    assert_string_equal(was, "constant");
    assert_string_equal(is, "cosine");
    assert_false(config_changed(&config, &now, &changes, 2, &name, was, is));
    expect_error(config_change(&now, &changes, "seed=2"), "seed stays as the run began");
    expect_error(config_change(&now, &changes, "policy.rate=2"), "unknown key policy.rate");
}

static void a_wrong_name_gets_the_keys_that_may_be_meant(void **unused)
{
    (void)unused;
    static const struct {
        const char *name, *keys;
    } table[] = {
        {"learning_rate", "policy.lr, sft.lr, rm.lr or critic.lr"},
        {"learning-rate", "policy.lr, sft.lr, rm.lr or critic.lr"},
        {"policy.learning_rate", "policy.lr, sft.lr, rm.lr or critic.lr"},
        {"lr", "sft.lr, rm.lr, policy.lr or critic.lr"},
        {"sede", "seed"},
        {"reward.alpah", "reward.alpha"},
        {"reward.gama", "reward.gamma"},
        {"lora_rank", "adapter.rank"},
        {"num_generations", "rollout.candidates"},
        {"temperature", "eval.temperature or rollout.temperature"},
    };
    char text[256];
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        assert_true(config_suggest(table[i].name, text));
        assert_string_equal(text, table[i].keys);
    }
    assert_false(config_suggest("zzzzzzzzzz", text));
}

static void help_has_a_topic_for_every_section(void **unused)
{
    (void)unused;
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    assert_true(config_help(out, "policy"));
    assert_false(config_help(out, "nothing"));
    fflush(out);
    assert_non_null(strstr(text, "policy.lr "));
    assert_null(strstr(text, "critic.lr"));
    rewind(out);
    assert_true(config_help(out, "general"));
    fflush(out);
    assert_non_null(strstr(text, "seed "));
    rewind(out);
    config_help_topics(out);
    fclose(out);
    struct config config;
    config_defaults(&config);
    char *all = NULL, section[64], heading[80];
    FILE *keys = open_memstream(&all, &size);
    assert_null(config_print(&config, keys));
    fclose(keys);
    for (char *line = strtok(all, "\n"); line; line = strtok(NULL, "\n")) {
        if (*line == ' ' || line[strlen(line) - 1] != ':') continue; /* not a section */
        snprintf(section, sizeof section, "%.*s", (int)strlen(line) - 1, line);
        snprintf(heading, sizeof heading, "  %s ", section);
        if (!strstr(text, heading)) fail_msg("no topic %s", section);
    }
    free(all);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_mistake_in_a_file_is_refused_with_line_and_key),
        cmocka_unit_test(contradictions_are_refused),
        cmocka_unit_test(the_penalties_follow_the_task_until_they_are_given),
        cmocka_unit_test(the_printout_reads_back_to_the_same_values),
        cmocka_unit_test(a_resumed_run_may_differ_in_ranks_and_paths_alone),
        cmocka_unit_test(a_saved_configuration_without_a_key_has_what_runs_did_before_it),
        cmocka_unit_test(a_learning_rate_changes_on_resume_when_it_is_asked_for),
        cmocka_unit_test(a_wrong_name_gets_the_keys_that_may_be_meant),
        cmocka_unit_test(help_has_a_topic_for_every_section),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
