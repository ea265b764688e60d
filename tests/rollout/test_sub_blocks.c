/* Sub-blocks of reasoning (cot.depth_lambda) from a reply's bytes to what a learner accepts: where
 * blocks begin, how deep they lie, what an actor may not say of them. */
#include "src/reward/blocks.h"
#include "src/rollout/blocks.h"
#include "src/rollout/dialogues.h"
#include "tests/rollout/reasoning_fixture.h"

static const char *const none[] = {NULL}, *const weights[] = {"cot.depth_lambda=[1,0.5]", NULL};

/* The text as a reply, its blocks found and read, as the one turn of a dialogue. */
static struct experience *experience_of(struct fixture *f, const struct rollout_settings *settings,
                                        const char *text)
{
    const struct statistic_sizes sizes = generator_sizes(f->generator, settings, 1);
    const struct special_ids special = {0, (const int32_t[]){1}, 1};
    const struct reply_row row = {0, {7, 1, 0}, 0};
    int32_t question[QUESTION];
    struct prompt prompt;
    struct reply reply;
    struct rollout rollout = {.settings = settings, .policy = f->generator};
    const struct experience_format format = rollout_format(&rollout);
    for (int i = 0; i < QUESTION; i++) question[i] = 3 + 'a' + i;
    CHECK(prompt_from_tokens(question, NULL, QUESTION, 1, &special, settings, &prompt));
    reply_allocate(&reply, &statistics_standard, &sizes, false, (int64_t)strlen(text));
    for (int64_t i = 0; i < reply.count; i++) reply.tokens[i] = 3 + text[i];
    CHECK(blocks_read(f->generator, settings, &f->language->history, &prompt, &row, 1, &reply));
    struct experience *e = experience_create(&format, 7, 0, 1);
    CHECK(experience_turn_fill(&format, 7, 0, &prompt, &reply, NULL, e->turns));
    prompt_free(&prompt);
    reply_free(&reply);
    return e;
}

static void check_blocks(const struct experience_turn *t, const char *begins, const char *depths)
{
    char saw[256] = "", deep[64] = "";
    for (int32_t i = 0; i < t->span_count; i++) {
        snprintf(saw + strlen(saw), sizeof saw - strlen(saw), "%s%d", i ? " " : "",
                 t->spans[i].begin);
        snprintf(deep + strlen(deep), sizeof deep - strlen(deep), "%d",
                 token_depth(t->marks, t->spans[i].begin));
    }
    assert_string_equal(saw, begins);
    assert_string_equal(deep, depths);
}

static void blocks_follow_tags_where_depth_has_weights(void **state)
{
    struct fixture *f = *state;
    static const char text[] = "abcdef<sub>2+3</sub>g#### <sub>5";
    const struct rollout_settings flat = settings_of(f, none), deep = settings_of(f, weights);
    struct experience *e = experience_of(f, &flat, text);
    check_blocks(e->turns, "0 4 8 12 16 20 21", "0000000");
    assert_false(e->turns->unbalanced);
    CHECK(experience_verify(e, "rank 1"));
    experience_destroy(e);
    e = experience_of(f, &deep, text);
    /* 6 bytes, 14 of the sub-block, one, the answer, in which tags are text. */
    check_blocks(e->turns, "0 4 6 10 14 18 20 21", "00111100");
    assert_true(e->turns->answered && !e->turns->unbalanced);
    CHECK(experience_verify(e, "rank 1"));
    experience_destroy(e);
    e = experience_of(f, &deep, "<sub>a<sub>b</sub>#### 5");
    check_blocks(e->turns, "0 4 6 10 14 18", "112220");
    assert_true(e->turns->unbalanced);
    experience_destroy(e);
    e = experience_of(f, &deep, "ab</sub>c");
    check_blocks(e->turns, "0 4 8", "000");
    assert_true(e->turns->unbalanced && !e->turns->answered);
    experience_destroy(e);
}

static void check_refused(const struct experience *e)
{
    status s = experience_verify(e, "rank 1");
    assert_non_null(s);
    assert_non_null(strstr(status_message(s), "not cut into blocks"));
    status_free(s);
}

/* Depths travel; one that would move a block, or lies in the answer, is refused. */
static void a_message_says_how_deep_each_token_lies(void **state)
{
    struct fixture *f = *state;
    const struct rollout_settings deep = settings_of(f, weights);
    struct experience *e = experience_of(f, &deep, "ab<sub>2</sub>cd<sub>#### 5"), *back;
    void *message;
    size_t size;
    CHECK(experience_pack(e, &message, &size));
    CHECK(experience_unpack(message, size, &e->format, "rank 1", &back));
    assert_true(back->turns->unbalanced);
    assert_memory_equal(back->turns->marks, e->turns->marks, (size_t)e->turns->reply_length);
    CHECK(experience_verify(back, "rank 1"));
    back->turns->marks[3] = (uint8_t)(back->turns->marks[3] + BLOCK_DEPTH);
    check_refused(back);
    back->turns->marks[3] = (uint8_t)(back->turns->marks[3] - BLOCK_DEPTH);
    CHECK(experience_verify(back, "rank 1"));
    back->turns->marks[back->turns->reply_length - 1] |= BLOCK_DEPTH;
    check_refused(back);
    experience_destroy(back);
    const struct rollout_settings flat = settings_of(f, none);
    struct experience *other = experience_of(f, &flat, "abcdefgh");
    for (int i = 0; i < 8; i++) other->turns->marks[i] |= BLOCK_DEPTH; /* cuts nothing */
    check_refused(other);
    experience_destroy(other);
    experience_destroy(e);
    free(message);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_follow_tags_where_depth_has_weights),
        cmocka_unit_test(a_message_says_how_deep_each_token_lies),
    };
    return cmocka_run_group_tests(tests, open_fixture, close_fixture);
}
