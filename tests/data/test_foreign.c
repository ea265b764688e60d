/* Other programs' dialogues become ours: each format, what is cut off, what is left out. */
#include "src/base/file.h"
#include "src/data/foreign.h"
#include "src/data/jsonl.h"
#include "src/data/preferences.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define LINE(user, assistant)                                                                      \
    "{\"messages\":[{\"role\":\"user\",\"content\":\"" user                                        \
    "\"},{\"role\":\"assistant\",\"content\":\"" assistant "\"}]}\n"

/* The lines made of a file with that text; the caller frees them. */
static char *import_text(const char *text, bool keep_system, struct import_counts *counts,
                         status *s)
{
    char path[] = "/tmp/regard-foreign-XXXXXX", *made = NULL;
    size_t size = 0;
    close(mkstemp(path));
    assert_null(file_write(path, text, strlen(text)));
    FILE *out = open_memstream(&made, &size);
    *s = dialogues_import(path, keep_system, out, counts);
    fclose(out);
    unlink(path);
    return made;
}

static void each_format_becomes_a_line_of_messages(void **unused)
{
    (void)unused;
    static const struct {
        const char *text, *made;
        int shortened;
    } table[] = {
        {"{\"conversations\":[{\"from\":\"human\",\"value\":\"a\"},{\"from\":\"gpt\",\"value\":"
         "\"b\"}]}",
         LINE("a", "b"), 0},
        {"{\"conversations\":[{\"from\":\"gpt\",\"value\":\"hello\"},{\"from\":\"human\",\"value\":"
         "\"a\"},"
         "{\"from\":\"gpt\",\"value\":\"b\"},{\"from\":\"human\",\"value\":\"bye\"}]}",
         LINE("a", "b"), 1},
        {"{\"conversation\":[{\"role\":\"User\",\"content\":\"a\"},{\"role\":\"Assistant\","
         "\"content\":\"b\"}]}",
         LINE("a", "b"), 0},
        {"{\"prompt\":\"a\",\"completion\":\"b\"}", LINE("a", "b"), 0},
        {"{\"prompt\":[{\"role\":\"system\",\"content\":\"s\"},{\"role\":\"user\",\"content\":"
         "\"a\"}],"
         "\"completion\":[{\"role\":\"assistant\",\"content\":\"b\"}]}",
         LINE("s\\na", "b"), 0},
        {"{\"instruction\":\"a\",\"input\":\"\",\"output\":\"b\"}", LINE("a", "b"), 0},
        {"{\"instruction\":\"a\",\"input\":\"c\",\"output\":\"b\"}", LINE("a\\nc", "b"), 0},
        {"{\"question\":\"a\",\"answer\":\"b\"}", LINE("a", "b"), 0},
        {"{\"messages\":[{\"role\":\"system\",\"content\":\"s\"},{\"role\":\"user\",\"content\":"
         "\"a\"},"
         "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"c\"}]},"
         "{\"role\":\"assistant\",\"content\":\"b\"}]}",
         LINE("s\\na\\nc", "b"), 0},
        {"[{\"prompt\":\"a\",\"response\":\"b\"},\n {\"prompt\":\"c\",\"response\":\"d\"}]",
         LINE("a", "b") LINE("c", "d"), 0},
        {"\xef\xbb\xbf{\"prompt\":\"a\",\"completion\":\"b\"}\n\n{\"prompt\":\"c\",\"completion\":"
         "\"d\"}\n",
         LINE("a", "b") LINE("c", "d"), 0},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct import_counts counts;
        status s;
        char *made = import_text(table[i].text, false, &counts, &s);
        if (s) print_error("%s\n", status_message(s));
        assert_null(s);
        assert_string_equal(made, table[i].made);
        assert_int_equal(counts.shortened, table[i].shortened);
        assert_int_equal(counts.left_out, 0);
        struct dialogue dialogue;
        const size_t first = strcspn(made, "\n");
        assert_null(dialogue_parse(made, first, "made:1", DATASET_TRAIN, &dialogue));
        dialogue_clear(&dialogue);
        free(made);
    }
}

/* Of users; where two are joined, in the text. */
static void names_of_users_are_kept(void **unused)
{
    (void)unused;
    static const char *const table[][2] = {
        {"{\"messages\":[{\"role\":\"user\",\"name\":\"Ana\",\"content\":\"a\"},"
         "{\"role\":\"assistant\",\"name\":\"Bot\",\"content\":\"b\"}]}",
         "{\"messages\":[{\"role\":\"user\",\"name\":\"Ana\",\"content\":\"a\"},"
         "{\"role\":\"assistant\",\"content\":\"b\"}]}\n"},
        {"{\"messages\":[{\"role\":\"user\",\"name\":\"Ana\",\"content\":\"a\"},"
         "{\"role\":\"user\",\"name\":\"Ana\",\"content\":\"c\"},"
         "{\"role\":\"assistant\",\"content\":\"b\"}]}",
         "{\"messages\":[{\"role\":\"user\",\"name\":\"Ana\",\"content\":\"a\\nc\"},"
         "{\"role\":\"assistant\",\"content\":\"b\"}]}\n"},
        {"{\"messages\":[{\"role\":\"user\",\"name\":\"Ana\",\"content\":\"a\"},"
         "{\"role\":\"user\",\"name\":\"Bo\",\"content\":\"c\"},{\"role\":\"user\",\"content\":"
         "\"d\"},"
         "{\"role\":\"assistant\",\"content\":\"b\"}]}",
         LINE("Ana: a\\nBo: c\\nd", "b")},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct import_counts counts;
        status s;
        char *made = import_text(table[i][0], false, &counts, &s);
        assert_null(s);
        assert_string_equal(made, table[i][1]);
        free(made);
    }
}

static void what_cannot_be_a_dialogue_is_left_out_and_counted(void **unused)
{
    (void)unused;
    struct import_counts counts;
    status s;
    char *made = import_text("{\"id\":7,\"prompt\":\"a\",\"completion\":\"b\"}\n"
                             "{\"prompt\":\"a\",\"completion\":\" \"}\n"
                             "{\"messages\":[{\"role\":\"tool\",\"content\":\"x\"}]}\n"
                             "{\"question\":\"a\",\"steps\":[\"s\"],\"answer\":\"b\"}\n",
                             false, &counts, &s);
    assert_null(s);
    assert_int_equal(counts.read, 4);
    assert_int_equal(counts.written, 1);
    assert_int_equal(counts.left_out, 3);
    assert_non_null(strstr(counts.first_left_out, ":2: no user's turn with an answer to it"));
    assert_int_equal(strncmp(made, "{\"id\":7,\"messages\"", 18), 0);
    free(made);
}

#define SAY(role, text) "{\"role\":\"" role "\",\"content\":\"" text "\"}"

#define FOUR(first)                                                                                \
    SAY("user", first) "," SAY("assistant", "b") "," SAY("user", "c") "," SAY("assistant", "d")

/* Kept where every message stays one, but for the system's; else left out with the reason. */
static void fields_that_say_what_is_right_are_kept_or_the_line_is_left_out(void **unused)
{
    (void)unused;
    static const struct {
        const char *fields, *messages;
        bool keep_system;
        const char *made, *why; /* one of the two */
    } table[] = {
        {"\"answer\":7,\"verify\":\"exact\",\"reject\":[\"x\"],\"other\":1,",
         SAY("user", "a") "," SAY("assistant", "b"), false,
         "{\"answer\":7,\"verify\":\"exact\",\"reject\":[\"x\"],\"messages\":[" SAY(
             "user", "a") "," SAY("assistant", "b") "]}\n",
         NULL},
        {"\"answer\":null,\"other\":1,", SAY("user", "a") "," SAY("assistant", "b"), false,
         LINE("a", "b"), NULL},
        {"",
         SAY("system", "s") "," SAY("user", "a") ",{\"role\":\"assistant\",\"content\":\"b\","
                                                 "\"slots\":[\"b\"]}",
         false,
         "{\"messages\":[" SAY("user", "s\\na") ",{\"role\":\"assistant\",\"content\":\"b\","
                                                "\"slots\":[\"b\"]}]}\n",
         NULL},
        {"\"given\":3,", SAY("system", "s") "," FOUR("a"), false,
         "{\"given\":2,\"messages\":[" FOUR("s\\na") "]}\n", NULL},
        {"\"given\":2,\"system\":\"s\",", FOUR("a"), true,
         "{\"given\":3,\"messages\":[" SAY("system", "s") "," FOUR("a") "]}\n", NULL},
        {"\"answer\":7,", SAY("user", "a") "," SAY("user", "c") "," SAY("assistant", "b"), false,
         NULL, ":2: it has \"answer\", which is said of messages as they stand, and its message 2"},
        {"\"given\":1,", SAY("assistant", "a") "," SAY("user", "c") "," SAY("assistant", "b"),
         false, NULL,
         "it has \"given\", which is said of messages as they stand, and its message 1"},
        {"\"reject\":[\"x\"],",
         SAY("system", "s") "," SAY("user", "a") "," SAY("assistant", "b") "," SAY("user", "c"),
         false, NULL,
         "it has \"reject\", which is said of messages as they stand, and its message 4"},
        {"\"answer\":{},", SAY("user", "a") "," SAY("assistant", "b"), false, NULL,
         ":2: \"answer\" must be text or a number"},
        {"\"verify\":\"exact\",", SAY("user", "a") "," SAY("assistant", "b"), false, NULL,
         ":2: \"verify\" is exact, but there is no \"answer\""},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct import_counts counts;
        char text[512];
        status s;
        snprintf(text, sizeof text, LINE("x", "y") "{%s\"messages\":[%s]}\n", table[i].fields,
                 table[i].messages);
        char *made = import_text(text, table[i].keep_system, &counts, &s);
        assert_null(s);
        assert_int_equal(counts.written, table[i].made ? 2 : 1);
        assert_int_equal(counts.left_out, table[i].made == NULL);
        assert_string_equal(made + strlen(LINE("x", "y")), table[i].made ? table[i].made : "");
        if (table[i].why && !strstr(counts.first_left_out, table[i].why))
            fail_msg("\"%s\" does not say \"%s\"", counts.first_left_out, table[i].why);
        free(made);
    }
}

#define PAIR(chosen, rejected) "],\"chosen\":\"" chosen "\",\"rejected\":\"" rejected "\"}\n"

/* As TRL, UltraFeedback, Orca and HH have them; what is made is read as preferences. */
static void preferences_become_lines_of_messages_chosen_and_rejected(void **unused)
{
    (void)unused;
    static const struct {
        const char *text;
        bool keep_system;
        const char *made, *why; /* one of the two */
    } table[] = {
        {"{\"id\":3,\"prompt\":[" SAY("user", "a") "],\"chosen\":[" SAY(
             "assistant", "b") "],\"rejected\":[" SAY("assistant", "c") "],\"score\":1}",
         false, "{\"id\":3,\"messages\":[" SAY("user", "a") PAIR("b", "c"), NULL},
        {"{\"prompt\":\"a\",\"chosen\":[" SAY("user", "a") "," SAY(
             "assistant", "b") "],\"rejected\":[" SAY("user", "a") "," SAY("assistant", "c") "]}",
         false, "{\"messages\":[" SAY("user", "a") PAIR("b", "c"), NULL},
        {"{\"chosen\":[" SAY("system", "s") "," FOUR("a") "],\"rejected\":[" SAY(
             "system", "s") "," SAY("user", "a") "," SAY("assistant",
                                                         "b") "," SAY("user",
                                                                      "c") "," SAY("assis"
                                                                                   "tan"
                                                                                   "t",
                                                                                   "e") "]}",
         true,
         "{\"messages\":[" SAY("system", "s") "," SAY("user", "a") "," SAY(
             "assistant", "b") "," SAY("user", "c") PAIR("d", "e"),
         NULL},
        {"{\"system\":\"s\",\"question\":\"a\",\"chosen\":\"b\",\"rejected\":\"c\"}", false,
         "{\"messages\":[" SAY("user", "s\\na") PAIR("b", "c"), NULL},
        {"{\"chosen\":\"\\n\\nHuman: a\\nx\\n\\nAssistant: b\\n\\nHuman: c\\n\\nAssistant: d \","
         "\"rejected\":\"\\n\\nHuman: a\\nx\\n\\nAssistant: b\\n\\nHuman: c\\n\\nAssistant: e\"}",
         false,
         "{\"messages\":[" SAY("user", "a\\nx") "," SAY("assistant", "b") "," SAY("user", "c")
             PAIR("d", "e"),
         NULL},
        {"{\"prompt\":\"\\n\\nHuman: a\\n\\nAssistant:\",\"chosen\":\" b\",\"rejected\":\" c\"}",
         false, "{\"messages\":[" SAY("user", "a") PAIR("b", "c"), NULL},
        {"{\"messages\":[" SAY("user", "a") PAIR("b", " c"), false,
         "{\"messages\":[" SAY("user", "a") PAIR("b", " c"), NULL},
        {"{\"chosen\":[" FOUR("a") "],\"rejected\":[" SAY("user", "a") "," SAY("assistant",
                                                                               "x") "]}",
         false, NULL, ":2: chosen and rejected differ before their last reply"},
        {"{\"chosen\":[" FOUR("a") "],\"rejected\":[" FOUR("b") "]}", false, NULL,
         ":2: chosen and rejected differ before their last reply"},
        {"{\"prompt\":\"a\",\"chosen\":\"b\",\"rejected\":\"b\"}", false, NULL,
         ":2: chosen and rejected are the same text"},
        {"{\"prompt\":\"a\",\"chosen\":[],\"rejected\":\"b\"}", false, NULL,
         ":2: its \"chosen\" holds no assistant's reply to a user"},
        {"{\"chosen\":\"a\",\"rejected\":\"b\"}", false, NULL,
         ":2: it has neither \"prompt\" nor \"messages\""},
        {"{\"prompt\":[" SAY("tool", "a") "],\"chosen\":\"a\",\"rejected\":\"b\"}", false, NULL,
         ":2: message 1 is by \"tool\""},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct import_counts counts;
        char text[600], path[] = "/tmp/regard-foreign-XXXXXX";
        status s;
        snprintf(text, sizeof text, LINE("x", "y") "%s\n", table[i].text);
        char *made = import_text(text, table[i].keep_system, &counts, &s);
        assert_null(s);
        const char *pair = made + strlen(LINE("x", "y"));
        assert_string_equal(pair, table[i].made ? table[i].made : "");
        assert_int_equal(counts.left_out, table[i].made == NULL);
        if (table[i].why && !strstr(counts.first_left_out, table[i].why))
            fail_msg("\"%s\" does not say \"%s\"", counts.first_left_out, table[i].why);
        if (table[i].made) {
            struct preferences *preferences;
            close(mkstemp(path));
            assert_null(file_write(path, pair, strlen(pair)));
            assert_null(preferences_read(path, &preferences));
            assert_int_equal(preferences->count, 1);
            preferences_free(preferences);
            unlink(path);
        }
        free(made);
    }
}

static void a_file_without_a_dialogue_is_an_error_with_its_line(void **unused)
{
    (void)unused;
    static const struct {
        const char *text, *part;
    } table[] = {
        {"{\"text\":\"a\"}\n", ":1: no format that is known"},
        {"{\"prompt\":\"a\",\"completion\":\"b\"}\n{\"prompt\"\n", ":2: bad JSON"},
        {"[{\"prompt\":\"a\",\"completion\":\"b\"}, 3]", ", item 2: no format that is known"},
        {"{\"messages\":[{\"role\":\"tool\",\"content\":\"x\"}]}\n",
         "no dialogue in it that can be used; the first: "},
        {"", "no dialogue in it that can be used"},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct import_counts counts;
        status s;
        free(import_text(table[i].text, false, &counts, &s));
        if (!s || !strstr(status_message(s), table[i].part))
            fail_msg("found \"%s\", wanted \"%s\"", s ? status_message(s) : "", table[i].part);
        status_free(s);
    }
}

static void a_system_message_is_kept_when_that_is_asked_for(void **unused)
{
    (void)unused;
    struct import_counts counts;
    status s;
    char *made =
        import_text("{\"system\":\"s\",\"conversations\":[{\"from\":\"system\",\"value\":\"t\"},"
                    "{\"from\":\"human\",\"value\":\"a\"},{\"from\":\"gpt\",\"value\":\"b\"}]}\n"
                    "{\"prompt\":\"a\",\"completion\":\"b\"}\n",
                    true, &counts, &s);
    assert_null(s);
    assert_string_equal(made, "{\"messages\":[{\"role\":\"system\",\"content\":\"s\\nt\"},"
                              "{\"role\":\"user\",\"content\":\"a\"},"
                              "{\"role\":\"assistant\",\"content\":\"b\"}]}\n" LINE("a", "b"));
    struct dialogue dialogue;
    assert_null(dialogue_parse(made, strcspn(made, "\n"), "f:1", DATASET_TRAIN, &dialogue));
    assert_int_equal(dialogue.message_count, 3);
    assert_int_equal(dialogue.messages[0].role, ROLE_SYSTEM);
    dialogue_clear(&dialogue);
    free(made);
}

static void readers_of_messages_name_the_conversion(void **unused)
{
    (void)unused;
    static const struct {
        const char *line, *part;
    } table[] = {
        {"{\"conversations\":[]}",
         "this is ShareGPT (conversations), not \"messages\"; regard import-data"},
        {"{\"prompt\":\"a\",\"completion\":\"b\"}", "this is prompt and completion"},
        {"{\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"system\",\"content\":"
         "\"s\"}]}",
         "regard import-data"},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct dialogue dialogue;
        status s =
            dialogue_parse(table[i].line, strlen(table[i].line), "f:1", DATASET_TRAIN, &dialogue);
        if (!s || !strstr(status_message(s), table[i].part))
            fail_msg("found \"%s\", wanted \"%s\"", s ? status_message(s) : "", table[i].part);
        status_free(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_format_becomes_a_line_of_messages),
        cmocka_unit_test(names_of_users_are_kept),
        cmocka_unit_test(what_cannot_be_a_dialogue_is_left_out_and_counted),
        cmocka_unit_test(fields_that_say_what_is_right_are_kept_or_the_line_is_left_out),
        cmocka_unit_test(preferences_become_lines_of_messages_chosen_and_rejected),
        cmocka_unit_test(a_file_without_a_dialogue_is_an_error_with_its_line),
        cmocka_unit_test(a_system_message_is_kept_when_that_is_asked_for),
        cmocka_unit_test(readers_of_messages_name_the_conversion),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
