/* What a dry run shows of a dialogue: its tokens, and which of them carry the loss. */
#include "src/base/file.h"
#include "src/task/examples.h"
#include "src/task/mask.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SAYS(role, text) "{\"role\":\"" role "\",\"content\":\"" text "\"}"

static struct dataset *dataset_of(const char *messages)
{
    struct dataset *data;
    char path[] = "/tmp/regard-mask-XXXXXX", text[1024];
    close(mkstemp(path));
    snprintf(text, sizeof text, "{\"messages\":[%s]}\n", messages);
    assert_null(file_write(path, text, strlen(text)));
    assert_null(dataset_read(path, DATASET_TRAIN, &data));
    unlink(path);
    return data;
}

static void expect_mask(const struct history_options *options, const char *messages,
                        enum dialogue_role role, const char *wanted)
{
    struct dataset *data = dataset_of(messages);
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    assert_null(mask_print(options, data, role, out));
    fclose(out);
    assert_string_equal(text, wanted);
    free(text);
    dataset_free(data);
}

#define TALK                                                                                       \
    SAYS("user", "a")                                                                              \
    "," SAYS("assistant", "b\xc3\xa9") "," SAYS("user", "c") "," SAYS("assistant", "d")

static void a_chat_is_one_stream_in_which_replies_and_their_ends_are_marked(void **state)
{
    (void)state;
    struct tokenizer *tokenizer = tokenizer_bytes(0);
    struct history_options options = {
        .tokenizer = tokenizer, .chat = chat_find("plain"), .max_tokens = 100};
    expect_mask(&options, TALK, ROLE_ASSISTANT,
                "# chat format: plain\n"
                "# the dialogue of line 1; the loss is on the tokens in lines marked *:\n"
                "# turn 1:\n"
                "#   [u][s][e][r][:][ ][a][\\n][a][s][s][i][s][t][a][n][t][:]\n"
                "# * [ ][b][\\xc3][\\xa9][</s>]\n"
                "#   [\\n][u][s][e][r][:][ ][c][\\n][a][s][s][i][s][t][a][n][t][:]\n"
                "# * [ ][d][</s>]\n");
    /* sft.role: user learns what the user says behind the assistant's first words. */
    expect_mask(&options, TALK, ROLE_USER,
                "# chat format: plain\n"
                "# the dialogue of line 1; the loss is on the tokens in lines marked *:\n"
                "# turn 1:\n"
                "#   [u][s][e][r][:][ ][a][\\n][a][s][s][i][s][t][a][n][t][:][ "
                "][b][\\xc3][\\xa9][</s>][\\n]"
                "[u][s][e][r][:]\n"
                "# * [ ][c][</s>]\n");
    options.max_tokens = 24; /* the first turn does not fit into the second one's history */
    expect_mask(&options, TALK, ROLE_ASSISTANT,
                "# chat format: plain\n"
                "# the dialogue of line 1; the loss is on the tokens in lines marked *:\n"
                "# turn 1:\n"
                "#   [u][s][e][r][:][ ][a][\\n][a][s][s][i][s][t][a][n][t][:]\n"
                "# * [ ][b][\\xc3][\\xa9][</s>]\n"
                "# turn 2:\n"
                "#   24 tokens of earlier messages are cut (history.max_tokens)\n"
                "#   [u][s][e][r][:][ ][c][\\n][a][s][s][i][s][t][a][n][t][:]\n"
                "# * [ ][d][</s>]\n");
    tokenizer_close(tokenizer);
}

static void a_history_with_markers_stands_before_each_reply(void **state)
{
    (void)state;
    struct tokenizer *tokenizer = tokenizer_bytes(0);
    const struct history_options options = {
        .tokenizer = tokenizer, .user_marker = "u:", .assistant_marker = "a:", .max_tokens = 100};
    expect_mask(&options, TALK, ROLE_ASSISTANT,
                "# chat format: none, each message has a marker before it\n"
                "# the dialogue of line 1; the loss is on the tokens in lines marked *:\n"
                "# turn 1:\n"
                "#   [u][:][a][</s>]\n"
                "# * [b][\\xc3][\\xa9][</s>]\n"
                "# turn 2:\n"
                "#   [u][:][a][a][:][b][\\xc3][\\xa9][u][:][c][</s>]\n"
                "# * [d][</s>]\n");
    tokenizer_close(tokenizer);
}

static void what_is_shown_is_what_examples_learn(void **state)
{
    (void)state;
    struct tokenizer *tokenizer = tokenizer_bytes(0);
    const struct history_options options = {
        .tokenizer = tokenizer, .chat = chat_find("plain"), .max_tokens = 100};
    struct dataset *data = dataset_of(SAYS("system", "s") "," TALK);
    struct example_list list;
    assert_null(examples_make(&options, data, ROLE_ASSISTANT, &list));
    assert_int_equal(list.count, 2);
    const struct example *first = &list.examples[0], *second = &list.examples[1];
    assert_int_equal(first->cut_count, 0);
    assert_int_equal(first->reply_count, 5);
    assert_int_equal(first->reply[4], 1);
    /* The second turn's history is the first one's, its reply and more; the cuts say where. */
    assert_memory_equal(second->history, first->history,
                        (size_t)first->history_count * sizeof *first->history);
    assert_memory_equal(second->history + first->history_count, first->reply,
                        (size_t)first->reply_count * sizeof *first->reply);
    assert_int_equal(second->cut_count, 2);
    assert_int_equal(second->cuts[0], first->history_count - 1);
    assert_int_equal(second->cuts[1], first->history_count + first->reply_count - 1);
    examples_free(&list);
    dataset_free(data);
    tokenizer_close(tokenizer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_chat_is_one_stream_in_which_replies_and_their_ends_are_marked),
        cmocka_unit_test(a_history_with_markers_stands_before_each_reply),
        cmocka_unit_test(what_is_shown_is_what_examples_learn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
