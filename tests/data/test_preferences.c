/* Preference lines: what is taken, and each mistake with its file and line. */
#include "src/data/preferences.h"
#include "tests/data/text_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PAIR "\"chosen\":\"yes\",\"rejected\":\"no\""
#define PROMPT "{\"prompt\":\"a\"," PAIR "}\n"

/* Reads a file of this text. */
static status read_text(const char *text, struct preferences **out)
{
    char path[TEXT_FILE_PATH];
    text_file(text, path);
    status s = preferences_read(path, out);
    unlink(path);
    return s;
}

static struct preferences *taken(const char *text)
{
    struct preferences *p;
    status s = read_text(text, &p);
    if (s) fail_msg("%s", status_message(s));
    return p;
}

/* place: ":LINE: " */
static void refused(const char *text, const char *place, const char *why)
{
    struct preferences *p;
    status s = read_text(text, &p);
    if (!s) fail_msg("taken: %s", text);
    assert_null(p);
    if (!strstr(status_message(s), why) || !strstr(status_message(s), place))
        fail_msg("\"%s\" does not say \"%s\" and \"%s\"", status_message(s), place, why);
    status_free(s);
}

static void a_prompt_is_one_message_of_the_user(void **state)
{
    (void)state;
    struct preferences *p =
        taken("\xef\xbb\xbf\n  {\"prompt\":\"Why?\",\"chosen\":\"So.\",\"rejected\":\"\","
              "\"id\":\"x\",\"more\":[1]} \n");
    assert_int_equal(p->count, 1);
    const struct dialogue *history = &p->list[0].history;
    assert_int_equal(history->message_count, 1);
    assert_int_equal(history->messages[0].role, ROLE_USER);
    assert_string_equal(history->messages[0].content, "Why?");
    assert_string_equal(p->list[0].chosen, "So.");
    assert_string_equal(p->list[0].rejected, "");
    assert_int_equal(history->line, 2);
    assert_string_equal(history->id, "\"x\"");
    assert_string_equal(history->json, "{\"prompt\":\"Why?\",\"chosen\":\"So.\",\"rejected\":\"\","
                                       "\"id\":\"x\",\"more\":[1]}");
    preferences_free(p);
}

static void messages_are_a_history_with_their_fields(void **state)
{
    (void)state;
    struct preferences *p = taken("{\"messages\":[{\"role\":\"system\",\"content\":\"s\"},"
                                  "{\"role\":\"user\",\"content\":\"a\"},"
                                  "{\"role\":\"assistant\",\"content\":\"b\"},"
                                  "{\"role\":\"user\",\"content\":\"c\"}],\"answer\":7," PAIR
                                  ",\"history_tokens\":[1]}\n" PROMPT);
    assert_int_equal(p->count, 2);
    assert_int_equal(p->list[0].history.message_count, 4);
    assert_string_equal(p->list[0].history.answer, "7");
    assert_false(p->list[0].history.has_tokens);
    assert_string_equal(p->list[1].history.messages[0].content, "a");
    preferences_free(p);
}

static void lines_of_two_equal_replies_are_counted_and_left_out(void **state)
{
    (void)state;
    const char *equal = "{\"prompt\":\"a\",\"chosen\":\"b\",\"rejected\":\"b\"}\n";
    char text[400];
    snprintf(text, sizeof text, "%s%s%s%s", PROMPT, equal, equal, PROMPT);
    struct preferences *p = taken(text);
    assert_int_equal(p->count, 2);
    assert_int_equal(p->same, 2);
    assert_int_equal(p->same_line, 2);
    assert_int_equal(p->list[1].history.line, 4);
    preferences_free(p);
    refused(equal, "regard-data", "the same text in every line");
}

static void mistakes_are_named_with_their_line(void **state)
{
    (void)state;
    refused(PROMPT "{\"prompt\":\"a\",\"chosen\":\"b\"}\n", ":2: ", "no \"rejected\"");
    refused(PROMPT PROMPT "{\"prompt\":\"a\",\"rejected\":\"b\"}", ":3: ", "no \"chosen\"");
    refused("{\"prompt\":\"a\",\"chosen\":1,\"rejected\":\"b\"}",
            ":1: ", "\"chosen\" must be text");
    refused("{\"prompt\":\"a\",\"chosen\":[{}],\"rejected\":[{}]}",
            ":1: ", "\"chosen\" is a list of messages; regard import-data converts it");
    refused("{\"chosen\":\"\\n\\nHuman: a\\n\\nAssistant: b\",\"rejected\":\"c\"}", ":1: ",
            "\"chosen\" is a whole conversation (\"Human: ..\"); regard import-data converts it");
    refused("{" PAIR "}", ":1: ", "neither \"prompt\" nor \"messages\"");
    refused("{\"prompt\":\"a\",\"messages\":[]," PAIR "}",
            ":1: ", "both \"prompt\" and \"messages\"");
    refused("{\"prompt\":[{}]," PAIR "}",
            ":1: ", "\"prompt\" is a list of messages; regard import-data converts it");
    refused("{\"prompt\":\" \"," PAIR "}", ":1: ", "\"prompt\" must be text that is not empty");
    refused("{\"messages\":[{\"role\":\"user\",\"content\":\"a\"},"
            "{\"role\":\"assistant\",\"content\":\"b\"}]," PAIR "}",
            ":1: ", "the last message is the assistant's");
    refused("{\"messages\":[{\"role\":\"user\",\"content\":\"\"}]," PAIR "}", ":1: ", "is empty");
    refused("[1]\n", "regard-data", "a JSON list");
    refused(PROMPT "[]\n", ":2: ", "not a JSON object");
    refused("{\"prompt\":\n", ":1: ", "");
    refused("\n \n", "regard-data", "no line with data");
    struct preferences *p;
    status s = preferences_read("synthetic:1:3", &p);
    assert_non_null(strstr(status_message(s), "synthetic:1:3: no \"chosen\""));
    status_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_prompt_is_one_message_of_the_user),
        cmocka_unit_test(messages_are_a_history_with_their_fields),
        cmocka_unit_test(lines_of_two_equal_replies_are_counted_and_left_out),
        cmocka_unit_test(mistakes_are_named_with_their_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
