/* history.prune: which tokens of old turns go, in which order, and what is done where that is too
 * little. */
#include "src/base/choices.h"
#include "src/base/cut_turns.h"
#include "src/text/history.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

/* idf: the 1, cat and dog 1.41, others 2.10; no word: 0. */
static struct idf_table *table_new(void)
{
    struct idf_table *table = idf_create();
    const char *a[] = {"the cat"}, *b[] = {"the dog"};
    idf_add_document(table, a, 1);
    idf_add_document(table, b, 1);
    return table;
}

static struct history_options options_of(const struct tokenizer *tokenizer,
                                         const struct idf_table *table, int prune, int64_t limit)
{
    return (struct history_options){
        .tokenizer = tokenizer,
        .user_marker = "u:",
        .assistant_marker = "a:",
        .max_tokens = limit,
        .prune = prune,
        .salience = {.idf = table, .idf_threshold = 100, .entities = true}};
}

static void add(struct history *history, enum dialogue_role role, const char *text)
{
    status s = history_add_text(history, role, text);
    if (s) fail_msg("%s", status_message(s));
}

/* A reply as it is sampled. */
static void reply(struct history *history, const char *text)
{
    int32_t ids[32];
    const int64_t count = (int64_t)strlen(text);
    for (int64_t i = 0; i < count; i++) ids[i] = 3 + text[i];
    ids[count] = 1;
    assert_null(history_add_tokens(history, ROLE_ASSISTANT, ids, count + 1, true));
}

/* Byte tokens as text, the end token as "$". */
static void expect(const struct history *history, const char *wanted, int64_t dropped,
                   int64_t pruned, int64_t whole)
{
    struct encoded_history e;
    char got[256];
    status s = history_encode(history, &e);
    if (s) fail_msg("%s", status_message(s));
    for (int64_t i = 0; i < e.count; i++) got[i] = e.ids[i] == 1 ? '$' : (char)(e.ids[i] - 3);
    got[e.count] = 0;
    assert_string_equal(got, wanted);
    assert_int_equal(e.dropped, dropped);
    assert_int_equal(e.pruned, pruned);
    assert_int_equal(e.whole, whole);
    assert_int_equal(e.cut_count, 0);
    encoded_history_free(&e);
}

struct tools {
    struct tokenizer *tokenizer;
    struct idf_table *table;
};

static struct tools tools_new(void)
{
    return (struct tools){tokenizer_bytes(125), table_new()};
}

static void tools_free(struct tools *tools)
{
    tokenizer_close(tools->tokenizer);
    idf_free(tools->table);
}

static void common_words_of_old_turns_go_first_and_then_whole_messages(void **state)
{
    (void)state;
    struct tools tools = tools_new();
    static const struct {
        int64_t limit, dropped, pruned, whole;
        const char *wanted;
    } cases[] = {{30, 0, 0, 0, "u:the cat sata:the dog!u:who?$"},
                 {29, 1, 1, 0, "u:thecat sata:the dog!u:who?$"},
                 {26, 4, 4, 0, "u:thecatsata:thedogu:who?$"},
                 {25, 5, 5, 0, "u:hecatsata:thedogu:who?$"},
                 {20, 10, 10, 0, "u:catsata:dogu:who?$"},
                 {19, 11, 11, 0, "u:atsata:dogu:who?$"},
                 {11, 19, 19, 0, "u:a:u:who?$"},
                 {10, 20, 7, 1, "a:gu:who?$"},
                 {9, 21, 8, 1, "a:u:who?$"},
                 {8, 23, 0, 2, "u:who?$"},
                 {7, 23, 0, 2, "u:who?$"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct history_options options =
            options_of(tools.tokenizer, tools.table, HISTORY_PRUNE_IDF, cases[i].limit);
        struct history *history = history_create(&options, "x");
        add(history, ROLE_USER, "the cat sat");
        reply(history, "the dog!");
        add(history, ROLE_USER, "who?");
        expect(history, cases[i].wanted, cases[i].dropped, cases[i].pruned, cases[i].whole);
        history_free(history);
    }
    const struct history_options options =
        options_of(tools.tokenizer, tools.table, HISTORY_PRUNE_IDF, 6);
    struct history *history = history_create(&options, "dialogue 7");
    struct encoded_history e;
    add(history, ROLE_USER, "who?");
    status s = history_encode(history, &e);
    assert_int_equal(status_code(s), STATUS_INPUT);
    assert_non_null(strstr(status_message(s), "dialogue 7: the current prompt alone has 7"));
    status_free(s);
    history_free(history);
    tools_free(&tools);
}

static void salient_tokens_stay(void **state)
{
    (void)state;
    struct tools tools = tools_new();
    struct history_options options =
        options_of(tools.tokenizer, tools.table, HISTORY_PRUNE_IDF, 16);
    struct history *history = history_create(&options, "x");
    add(history, ROLE_USER, "go to Rome");
    reply(history, "ok");
    add(history, ROLE_USER, "on 12");
    expect(history, "u:Romea:u:on 12$", 8, 8, 0);
    /* One token less has no room for Rome: its message goes, and the reply comes back. */
    options.max_tokens = 15;
    expect(history, "a:oku:on 12$", 12, 0, 1);
    history_free(history);
    tools_free(&tools);
}

/* The attention that the present history's tokens get from the next reply, 1/8 and more apart. */
static void attend(struct history *history, int64_t count, const float *mass)
{
    struct encoded_history e;
    assert_null(history_encode(history, &e));
    assert_int_equal(e.count, count);
    encoded_history_free(&e);
    assert_null(history_attend(history, mass));
}

static void what_the_last_reply_attended_to_least_goes_first(void **state)
{
    (void)state;
    struct tools tools = tools_new();
    struct history_options options =
        options_of(tools.tokenizer, tools.table, HISTORY_PRUNE_MASS, 100);
    struct history *history = history_create(&options, "x");
    add(history, ROLE_USER, "abcd");
    attend(history, 7, (const float[]){9, 9, 1, 4, 3, 2, 9}); /* u:abcd$ */
    reply(history, "xy");
    add(history, ROLE_USER, "q");
    static const char *const shorter[] = {"u:abcda:xyu:q$", "u:bcda:xyu:q$", "u:bca:xyu:q$",
                                          "u:ba:xyu:q$", "u:a:xyu:q$",
                                          /* no reply has read these: by idf */
                                          "u:a:yu:q$"};
    for (int i = 0; i < 6; i++) {
        options.max_tokens = 14 - i;
        expect(history, shorter[i], i, i, 0);
    }
    /* Of the history of 11 tokens: b, x, y and q; a, c and d were not in it and got nothing. */
    options.max_tokens = 11;
    attend(history, 11, (const float[]){9, 9, 5, 9, 9, 2, 7, 9, 9, 1, 9});
    reply(history, "z");
    add(history, ROLE_USER, "r");
    options.max_tokens = 17;
    expect(history, "u:ba:xyu:qa:zu:r$", 3, 3, 0);
    options.max_tokens = 15;
    expect(history, "u:ba:yu:a:zu:r$", 5, 5, 0);
    options.max_tokens = 13;
    expect(history, "u:a:u:a:zu:r$", 7, 7, 0);
    /* Given replies alone, as in sft: nobody's attention is known, and idf decides. */
    struct history *gold = history_create(&options, "x");
    options.max_tokens = 19;
    add(gold, ROLE_USER, "the cat sat");
    add(gold, ROLE_ASSISTANT, "the dog!");
    add(gold, ROLE_USER, "who?");
    expect(gold, "u:atsata:dogu:who?$", 11, 11, 0);
    history_free(gold);
    history_free(history);
    tools_free(&tools);
}

static void a_chat_formats_own_tokens_stay_and_a_pruned_history_has_no_cuts(void **state)
{
    (void)state;
    struct tools tools = tools_new();
    struct chat_format format = *chat_find("plain");
    format.turns[ROLE_ASSISTANT].behind = "";
    static const struct {
        int64_t limit, dropped, pruned, whole;
        const char *text;
    } cases[] = {
        {75, 6, 6, 0,
         "system: the\nuser: at\nassistant: dog$user: e\nassistant: f$user: g\n"
         "assistant:"},
        {68, 13, 13, 0, "system: the\nuser: \nassistant: $user: \nassistant: $user: g\nassistant:"},
        /* The first turn goes whole; the second comes back. */
        {67, 30, 0, 2, "system: the\nuser: e\nassistant: f$user: g\nassistant:"},
        {49, 32, 2, 2, "system: the\nuser: \nassistant: $user: g\nassistant:"},
        {48, 51, 0, 4, "system: the\nuser: g\nassistant:"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct history_options options =
            options_of(tools.tokenizer, tools.table, HISTORY_PRUNE_IDF, cases[i].limit);
        options.chat = &format;
        struct history *history = history_create(&options, "x");
        add(history, ROLE_SYSTEM, "the");
        add(history, ROLE_USER, "the at");
        add(history, ROLE_ASSISTANT, ", dog");
        add(history, ROLE_USER, "e");
        add(history, ROLE_ASSISTANT, "f");
        add(history, ROLE_USER, "g");
        expect(history, cases[i].text, cases[i].dropped, cases[i].pruned, cases[i].whole);
        history_free(history);
    }
    tools_free(&tools);
}

/* The history's tokens, and the turns that its slots stand for, a "/" behind each. */
static void expect_summary(const struct history *history, const char *wanted, const char *cut,
                           const int32_t *turn)
{
    struct encoded_history e;
    struct cut_turns turns;
    char got[256] = "";
    int64_t n = 0, at = 0;
    assert_null(history_encode(history, &e));
    for (int64_t i = 0; i < e.count; i++) got[i] = e.ids[i] == 1 ? '$' : (char)(e.ids[i] - 3);
    assert_string_equal(got, wanted);
    assert_true(cut_turns_read(e.cuts, e.cut_count, &turns));
    assert_int_equal(e.cut_count, CUT_TURNS_HEADER + turns.turns + turns.tokens);
    assert_int_equal(turns.slots, e.slots);
    assert_true(turns.turns <= e.slots);
    memset(got, 0, sizeof got);
    for (int64_t i = 0; i < turns.turns; i++) {
        for (int64_t t = 0; t < turns.length[i]; t++) got[n++] = (char)(turns.token[at++] - 3);
        got[n++] = '/';
        assert_int_equal(e.turn[i], turn[i]);
        assert_true(e.special[i] && !e.salient[i] && !e.prompt[i] && e.source[i] == -1);
    }
    assert_string_equal(got, cut);
    assert_int_equal(e.source[e.slots + 2] >= 0, 1); /* behind a marker of two bytes */
    encoded_history_free(&e);
}

static void what_was_cut_is_kept_for_the_slots_of_the_newest_turns(void **state)
{
    (void)state;
    struct tools tools = tools_new();
    struct history_options options =
        options_of(tools.tokenizer, tools.table, HISTORY_PRUNE_NONE, 8);
    struct history *history = history_create(&options, "x");
    const char *const said[] = {"a", "b", "c", "d", "e", "f", "g"};
    for (int i = 0; i < 7; i++) add(history, i % 2 ? ROLE_ASSISTANT : ROLE_USER, said[i]);
    options.slots = 4;
    options.max_tokens = 8; /* of the turns too */
    expect_summary(history, "$$a:fu:g$", ":ca:d/u:e/", (const int32_t[]){2, 3});
    options.slots = 1;
    expect_summary(history, "$a:fu:g$", "u:e/", (const int32_t[]){3});
    options.slots = 3;
    expect_summary(history, "$$a:fu:g$", ":ca:d/u:e/", (const int32_t[]){2, 3});
    options.all_slots = true; /* three, of the two turns that 8 tokens are of */
    expect_summary(history, "$$$a:fu:g$", ":ca:d/u:e/", (const int32_t[]){2, 3});
    options.all_slots = false;
    options.slots = 2;
    options.max_tokens = 9; /* "u:e" without its beginning fits not: no room behind its marker */
    expect_summary(history, "$$a:fu:g$", "u:ca:d/u:e/", (const int32_t[]){2, 3});
    options.max_tokens = 100;
    struct encoded_history e;
    assert_null(history_encode(history, &e));
    assert_int_equal(e.slots + e.cut_count, 0);
    encoded_history_free(&e);
    history_free(history);
    /* What a message loses in part, and what is pruned. */
    options.slots = 4;
    options.max_tokens = 25;
    history = history_create(&options, "x");
    add(history, ROLE_USER, "the cat sat");
    add(history, ROLE_ASSISTANT, "the dog!");
    add(history, ROLE_USER, "who?");
    expect_summary(history, "$u:at sata:the dog!u:who?$", "the c/", (const int32_t[]){1});
    history_free(history);
    options.prune = HISTORY_PRUNE_IDF;
    history = history_create(&options, "x");
    add(history, ROLE_USER, "the cat sat");
    add(history, ROLE_ASSISTANT, "the dog!");
    add(history, ROLE_USER, "who?");
    expect_summary(history, "$u:hecatsata:thedogu:who?$", "t   !/", (const int32_t[]){1});
    history_free(history);
    tools_free(&tools);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(common_words_of_old_turns_go_first_and_then_whole_messages),
        cmocka_unit_test(salient_tokens_stay),
        cmocka_unit_test(what_the_last_reply_attended_to_least_goes_first),
        cmocka_unit_test(a_chat_formats_own_tokens_stay_and_a_pruned_history_has_no_cuts),
        cmocka_unit_test(what_was_cut_is_kept_for_the_slots_of_the_newest_turns),
    };
    return cmocka_run_group_tests_name("history_prune", tests, NULL, NULL);
}
