/* What lines say beside their messages, and lines of a question with steps and answer. */
#include "src/data/dialogue.h"
#include "src/data/jsonl.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define USER "{\"role\":\"user\",\"content\":\"a\"}"
#define REPLY "{\"role\":\"assistant\",\"content\":\"b\"}"
#define LINE(fields) "{\"messages\":[" USER "," REPLY "]" fields "}"

static void refused(const char *text, const char *why)
{
    struct dialogue dialogue;
    status s = dialogue_parse(text, strlen(text), "f:1", DATASET_TRAIN, &dialogue);
    if (!s) fail_msg("taken: %s", text);
    if (!strstr(status_message(s), why))
        fail_msg("\"%s\" does not say \"%s\"", status_message(s), why);
    assert_memory_equal(status_message(s), "f:1: ", 5);
    status_free(s);
}

static struct dialogue taken(const char *text, enum dataset_need need)
{
    struct dialogue dialogue;
    status s = dialogue_parse(text, strlen(text), "f:1", need, &dialogue);
    if (s) fail_msg("%s", status_message(s));
    return dialogue;
}

static void mistakes_in_fields_are_named(void **state)
{
    (void)state;
    refused(LINE(",\"answer\":[1]"), "\"answer\" must be text or a number");
    refused(LINE(",\"answer\":\" \""), "\"answer\" is empty");
    refused(LINE(",\"answer\":1e30"), "write it as text");
    refused(LINE(",\"reject\":\"x\""), "\"reject\" must be a list of texts");
    refused(LINE(",\"reject\":[\"x\",3]"), "\"reject\"[1] must be text");
    refused(LINE(",\"verify\":\"same\""), "auto, exact, slots, match or contains");
    refused(LINE(",\"verify\":1"), "auto, exact, slots, match or contains");
    refused(LINE(",\"verify\":\"exact\""), "there is no \"answer\"");
    refused(LINE(",\"verify\":\"slots\",\"answer\":\"x\""), "no message has \"slots\"");
    refused(LINE(",\"given\":2"), "from 0 to 1");
    refused(LINE(",\"given\":-1"), "from 0 to 1");
    refused(LINE(",\"given\":1.5"), "from 0 to 1");
    refused("{\"question\":3,\"steps\":[],\"answer\":1}", "\"question\" must be text");
    refused("{\"question\":\"q\",\"steps\":\"s\",\"answer\":1}", "\"steps\" must be a list");
    refused("{\"question\":\"q\",\"steps\":null,\"answer\":1}", "\"steps\" must be a list");
    refused("{\"question\":\"q\",\"steps\":[\"\"],\"answer\":1}", "\"steps\"[0] must be text");
    refused("{\"question\":\"q\",\"steps\":[\"s\"]}", "no \"answer\"");
    refused("{\"question\":\"q\",\"answer\":\"s\"}", "import-data");
}

static void fields_are_kept_and_others_are_reached_by_name(void **state)
{
    (void)state;
    const char *line = " " LINE(",\"answer\":7,\"reject\":[\"x\",\"y\"],\"verify\":\"contains\","
                                "\"given\":0,\"kind\":\"add\",\"level\":2,\"hard\":true,\"p\":0.25,"
                                "\"none\":null,\"list\":[1]") "\r";
    struct dialogue dialogue = taken(line, DATASET_TRAIN);
    assert_string_equal(dialogue.answer, "7");
    assert_string_equal(dialogue.reject[1], "y");
    assert_null(dialogue.reject[2]);
    assert_int_equal(dialogue.verify, VERIFY_CONTAINS);
    assert_int_equal(strlen(dialogue.json), strlen(line) - 2); /* without the blanks around it */
    const char *fields[][2] = {{"kind", "add"}, {"level", "2"}, {"hard", "true"}, {"p", "0.25"},
                               {"none", NULL},  {"gone", NULL}, {"answer", "7"}};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        char *value;
        assert_null(dialogue_field(&dialogue, fields[i][0], &value));
        if (!value != !fields[i][1] || (value && strcmp(value, fields[i][1]) != 0))
            fail_msg("%s is %s", fields[i][0], value ? value : "none");
        free(value);
    }
    char *value;
    dialogue.line = 12;
    status s = dialogue_field(&dialogue, "list", &value);
    assert_string_equal(status_message(s),
                        "line 12: \"list\" is a list or an object; a text or a number is wanted");
    status_free(s);
    dialogue_clear(&dialogue);
    dialogue = taken(LINE(",\"answer\":2.50,\"verify\":null"), DATASET_TRAIN);
    assert_string_equal(dialogue.answer, "2.5");
    assert_int_equal(dialogue.verify, VERIFY_AUTO);
    assert_null(dialogue.reject);
    dialogue_clear(&dialogue);
}

static void a_dialogue_starts_behind_what_is_given(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        enum dataset_need need;
        int64_t start, turns;
    } cases[] = {
        {LINE(""), DATASET_TRAIN, 1, 0},
        {LINE(",\"given\":1"), DATASET_TRAIN, 1, 0},
        {"{\"messages\":[{\"role\":\"system\",\"content\":\"\"}," USER "," REPLY "]}",
         DATASET_TRAIN, 2, 0},
        {"{\"messages\":[" USER "," REPLY "," USER "," REPLY "],\"given\":1}", DATASET_TRAIN, 1, 0},
        {"{\"messages\":[" USER "," REPLY "," USER "," REPLY "],\"given\":2}", DATASET_TRAIN, 3, 1},
        {"{\"messages\":[" USER "," REPLY "," USER "," REPLY "],\"given\":3}", DATASET_TRAIN, 3, 1},
        {"{\"messages\":[" USER "," REPLY "," USER "],\"given\":2}", DATASET_GENERATE, 3, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct dialogue dialogue = taken(cases[i].line, cases[i].need);
        if (dialogue_start(&dialogue) != cases[i].start ||
            dialogue_given_turns(&dialogue) != cases[i].turns)
            fail_msg("%s starts at %d behind %d turns", cases[i].line,
                     (int)dialogue_start(&dialogue), (int)dialogue_given_turns(&dialogue));
        dialogue_clear(&dialogue);
    }
}

static void a_question_with_steps_is_a_dialogue_of_two_messages(void **state)
{
    (void)state;
    const char *line = "{\"question\":\"How many?\",\"steps\":[\"1 + 2 = 3\",\"So 3.\"],"
                       "\"answer\":\"3\",\"id\":9}";
    struct dialogue dialogue = taken(line, DATASET_SCORE);
    assert_int_equal(dialogue.message_count, 2);
    assert_int_equal(dialogue.messages[0].role, ROLE_USER);
    assert_string_equal(dialogue.messages[0].content, "How many?");
    assert_int_equal(dialogue.messages[1].role, ROLE_ASSISTANT);
    assert_string_equal(dialogue.messages[1].content, "1 + 2 = 3\nSo 3.\n#### 3");
    assert_string_equal(dialogue.question, "How many?");
    assert_string_equal(dialogue.steps[1], "So 3.");
    assert_null(dialogue.steps[2]);
    assert_string_equal(dialogue.json, line);
    dialogue_clear(&dialogue);
    dialogue = taken(line, DATASET_GENERATE);
    assert_int_equal(dialogue.message_count, 1);
    dialogue_clear(&dialogue);
    dialogue = taken("{\"question\":\"q\",\"steps\":[],\"answer\":4}", DATASET_TRAIN);
    assert_string_equal(dialogue.messages[1].content, "#### 4");
    dialogue_clear(&dialogue);
}

static void the_math_files_are_read_as_they_are(void **state)
{
    (void)state;
    struct dataset *data;
    if (access("../shared/data/math_valid.jsonl", R_OK)) {
        print_message("../shared/data is not there\n");
        skip();
    }
    status s = dataset_read("../shared/data/math_valid.jsonl", DATASET_TRAIN, &data);
    if (s) fail_msg("%s", status_message(s));
    assert_int_equal(data->count, 1000);
    for (int64_t i = 0; i < data->count; i++) {
        const char *reply = data->dialogues[i].messages[1].content;
        assert_string_equal(strstr(reply, "#### ") + 5, data->dialogues[i].answer);
    }
    dataset_free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mistakes_in_fields_are_named),
        cmocka_unit_test(fields_are_kept_and_others_are_reached_by_name),
        cmocka_unit_test(a_dialogue_starts_behind_what_is_given),
        cmocka_unit_test(a_question_with_steps_is_a_dialogue_of_two_messages),
        cmocka_unit_test(the_math_files_are_read_as_they_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
