/* What a folder's files make of histories. */
#include "src/rollout/language.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tokenizer_without_an_end_refuses_histories_in_one_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
