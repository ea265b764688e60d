/* What a folder's files make of histories. */
#include "src/base/config.h"
#include "src/rollout/language.h"
#include "src/rollout/prompt.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#define FIXTURE REGARD_SOURCE "/tests/text/fixtures/bpe/gpt2" /* tokenizer.json alone */

static void a_tokenizer_without_an_end_refuses_histories_in_one_line(void **state)
{
    (void)state;
    const struct language_settings settings = {.chat = "auto",
                                               .system = "",
                                               .user_marker = "u: ",
                                               .assistant_marker = "a: ",
                                               .tokenizer = "",
                                               .keywords = "",
                                               .max_tokens = 64};
    struct language *language;
    assert_null(language_open(&settings, FIXTURE, NULL, &language));
    assert_int_equal(tokenizer_end(language->tokenizer), -1);
    struct history *history = history_create(&language->history, "here");
    status s = history_add_text(history, ROLE_USER, "the ticket");
    assert_int_equal(status_code(s), STATUS_INPUT);
    assert_non_null(strstr(status_message(s), "put \"eos_token\" into its tokenizer_config.json"));
    status_free(s);
    history_free(history);
    language_close(language);
}

/* The last message's place in a history of "user: ", "assistant: " and ByT5's bytes. */
static void prompt_of_task(const char *const *options, struct prompt *out)
{
    struct config config;
    struct language *language;
    config_defaults(&config);
    assert_null(config_set(&config, "tokenizer.path=bytes"));
    for (; *options; options++) assert_null(config_set(&config, *options));
    const struct language_settings words = language_settings_of(&config);
    const struct rollout_settings settings = rollout_settings_of(&config);
    assert_null(language_open(&words, "", NULL, &language));
    struct history *history = history_create(&language->history, "here");
    assert_null(history_add_text(history, ROLE_USER, "a train at 12"));
    assert_null(history_add_text(history, ROLE_ASSISTANT, "it is 3 hours"));
    assert_null(history_add_text(history, ROLE_USER, "and at 14"));
    assert_null(prompt_from_history(history, &settings, out));
    history_free(history);
    language_close(language);
}

static void a_single_turns_reward_is_of_the_prompt_and_the_model_sees_all(void **state)
{
    (void)state;
    static const char *const dialogue[] = {NULL};
    static const char *const full[] = {"task=single_turn", NULL};
    static const char *const full_marked[] = {"task=single_turn", "attention.exclude_special=false",
                                              NULL};
    static const char *const prompt[] = {"task=single_turn", "single_turn.context=prompt", NULL};
    const int64_t said = 9, salient = 2; /* "and at 14", of which "14" */
    struct prompt all, one, marked, cut;
    prompt_of_task(dialogue, &all);
    prompt_of_task(full, &one);
    prompt_of_task(full_marked, &marked);
    prompt_of_task(prompt, &cut);
    assert_int_equal(all.visible_count, 13 + 13 + said);
    assert_int_equal(all.salient_count, 2 + 1 + salient);
    assert_int_equal(one.count, all.count);
    assert_memory_equal(one.tokens, all.tokens, (size_t)all.count * sizeof *all.tokens);
    assert_int_equal(one.turn, 2);
    assert_int_equal(one.visible_count, said);
    assert_int_equal(one.salient_count, salient);
    for (int64_t i = 0; i < one.count; i++)
        assert_int_equal(one.visible[i], i >= one.count - 1 - said && i < one.count - 1);
    assert_memory_equal(marked.visible, one.visible, (size_t)one.count);
    /* The input is the marker, what is said, and the end. */
    assert_int_equal(cut.count, 6 + said + 1);
    assert_int_equal(cut.visible_count, said);
    assert_int_equal(cut.salient_count, salient);
    struct prompt *prompts[] = {&all, &one, &marked, &cut};
    for (size_t i = 0; i < 4; i++) prompt_free(prompts[i]);
}

static void a_single_turns_reward_has_no_floor_unless_one_is_given(void **state)
{
    (void)state;
    struct config config;
    config_defaults(&config);
    assert_null(config_set(&config, "task=single_turn"));
    assert_int_equal(rollout_settings_of(&config).reward.floor_form, FLOOR_NONE);
    assert_null(config_set(&config, "floor.form=value"));
    assert_int_equal(rollout_settings_of(&config).reward.floor_form, FLOOR_VALUE);
    assert_null(config_set(&config, "task=dialogue"));
    assert_int_equal(rollout_settings_of(&config).reward.floor_form, FLOOR_VALUE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tokenizer_without_an_end_refuses_histories_in_one_line),
        cmocka_unit_test(a_single_turns_reward_is_of_the_prompt_and_the_model_sees_all),
        cmocka_unit_test(a_single_turns_reward_has_no_floor_unless_one_is_given),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
