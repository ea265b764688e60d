/* Right and wrong replies by every form of the verifier, and the majority's shares. */
#include "tests/reward/reward_test.h"

#include "src/base/memory.h"
#include "src/source/source.h"

#include <stdlib.h>

/* The value of `source`, alone in reward.sources, for one reply to `said` messages, whose gold one
 * is the line's `message`. */
static double value_after(const char *source, const char *form, const char *extract,
                          const struct dialogue *line, int64_t message, int64_t said,
                          const char *text)
{
    struct config config;
    char assignment[256];
    double terms[1][TERM_MAX] = {{0}};
    config_defaults(&config);
    const char *const set[][2] = {
        {"reward.sources", source}, {"verifier.form", form}, {"verifier.extract", extract}};
    for (int i = 0; i < 3; i++) {
        snprintf(assignment, sizeof assignment, "%s=%s", set[i][0], set[i][1]);
        assert_done(config_set(&config, assignment));
    }
    const struct source_settings settings = source_settings_of(&config);
    const struct reward_settings reward = reward_settings_of(&config);
    struct source_set *sources;
    const struct source_reply reply = {
        .line = line, .message = message, .message_count = said, .text = text};
    assert_done(sources_open(&settings, &reward, &sources));
    assert_done(sources_compute(sources, &reply, 1, terms, NULL));
    sources_close(sources);
    return terms[0][0];
}

/* As the line has it: a reply without a gold one follows its last message. */
static double value_of(const char *source, const char *form, const char *extract,
                       const struct dialogue *line, int64_t message, const char *text)
{
    return value_after(source, form, extract, line, message,
                       message < 0 ? line->message_count : message, text);
}

static double verified(const char *form, const char *extract, const struct dialogue *line,
                       const char *text)
{
    return value_of("verifier", form, extract, line, -1, text);
}

static void exact_is_the_number_that_the_reply_ends_with(void **state)
{
    (void)state;
    const struct dialogue line = {.answer = "1,234"};
    assert_close(verified("auto", "flexible", &line, "2 + 2 is 4. The answer is $1234."), 1);
    assert_close(verified("auto", "flexible", &line, "1234, no, 1235"), 0);
    assert_close(verified("auto", "flexible", &line, "none"), 0);
    assert_close(verified("auto", "strict", &line, "The answer is 1234."), 0);
    assert_close(verified("auto", "strict", &line, "#### 1234\nor 5"), 1);
    assert_close(verified("auto", "flexible", &line, "5, so \\boxed{1,234}"), 1);
}

static void gold_is_the_overlap_with_the_datas_reply_to_the_same_turn(void **state)
{
    (void)state;
    struct message messages[] = {{ROLE_USER, "When is it open?", NULL},
                                 {ROLE_ASSISTANT, "It is open from ten to six.", NULL},
                                 {ROLE_USER, "And on Monday?", NULL},
                                 {ROLE_ASSISTANT, "Closed.", NULL}};
    const struct dialogue line = {.messages = messages, .message_count = 4};
    const struct dialogue asked = {.messages = messages, .message_count = 3};
    assert_close(value_of("gold", "auto", "flexible", &line, 3, "closed"), 1);
    /* "open from ten" of 7 words and 4: 2 * 3 / 11. */
    assert_close(value_of("gold", "auto", "flexible", &line, 1, "Open from ten, madam"), 6.0 / 11);
    assert_close(value_of("gold", "auto", "flexible", &asked, -1, "Closed."), 0);
}

static void texts_are_matched_or_contained(void **state)
{
    (void)state;
    char *reject[] = {"Ann", NULL};
    const struct dialogue line = {.answer = "pear, apple", .verify = VERIFY_MATCH};
    assert_close(verified("auto", "flexible", &line, "Pear,  apple."), 1);
    assert_close(verified("auto", "flexible", &line, "it is pear, apple"), 0);
    assert_close(verified("contains", "flexible", &line, "it is pear, apple"), 1);
    const struct dialogue slot = {.answer = "Bob", .verify = VERIFY_CONTAINS, .reject = reject};
    assert_close(verified("auto", "flexible", &slot, "Bob needs it."), 1);
    assert_close(verified("auto", "flexible", &slot, "Bobby needs it."), 0);
    assert_close(verified("auto", "flexible", &slot, "Bob and Ann."), 0);
}

static void slots_are_the_share_that_a_turns_reply_names(void **state)
{
    (void)state;
    char *values[] = {"Cambridge", "09:15", NULL};
    char **slots[4] = {NULL, NULL, NULL, values};
    struct message messages[4] = {{ROLE_USER, "a", NULL}, {ROLE_ASSISTANT, "b", NULL}};
    const struct dialogue line = {.messages = messages, .message_count = 4, .slots = slots};
    assert_close(value_of("verifier", "auto", "flexible", &line, 3, "To cambridge."), 0.5);
    assert_close(value_of("verifier", "auto", "flexible", &line, 3, "At 09:15 to Cambridge"), 1);
    assert_close(value_of("verifier", "auto", "flexible", &line, 1, "At 09:15 to Cambridge"), 0);
    assert_close(value_of("verifier", "auto", "flexible", &line, -1, "Cambridge"), 0);
}

static void an_answer_is_of_the_lines_last_reply(void **state)
{
    (void)state;
    const struct dialogue line = {.message_count = 4, .answer = "7"};
    assert_close(value_of("verifier", "auto", "flexible", &line, 3, "7"), 1);
    assert_close(value_of("verifier", "auto", "flexible", &line, 1, "7"), 0);
    assert_close(value_of("verifier", "auto", "flexible", &line, -1, "7"), 1);
    /* a rollout that goes on after the data's end */
    assert_close(value_after("verifier", "auto", "flexible", &line, -1, 5, "7"), 0);
    assert_close(value_after("verifier", "auto", "flexible", &line, -1, 2, "7"), 0);
}

static struct source_set *set_of(const char *sources)
{
    struct config config;
    char assignment[256];
    struct source_set *set;
    config_defaults(&config);
    snprintf(assignment, sizeof assignment, "reward.sources=%s", sources);
    assert_done(config_set(&config, assignment));
    const struct source_settings settings = source_settings_of(&config);
    const struct reward_settings reward = reward_settings_of(&config);
    assert_done(sources_open(&settings, &reward, &set));
    return set;
}

static void a_line_that_says_nothing_of_right_and_wrong_is_refused(void **state)
{
    (void)state;
    struct dialogue lines[2] = {{.line = 1, .answer = "x"}, {.line = 2}};
    struct dataset data = {.dialogues = lines, .count = 2, .path = "d.jsonl"};
    struct source_set *set = set_of("verifier,random"), *free_of = set_of("majority,random");
    assert_fails_with(sources_check(set, &data), "d.jsonl:2: ", "no \"answer\"");
    assert_done(sources_check(free_of, &data));
    lines[1].answer = "y";
    assert_done(sources_check(set, &data));
    sources_close(set);
    sources_close(free_of);
}

static void majority_is_the_share_of_one_turns_replies_with_the_same_answer(void **state)
{
    (void)state;
    const struct dialogue number = {.line = 1}, text = {.line = 2, .verify = VERIFY_MATCH};
    const struct source_reply replies[] = {
        {.key = {1, 1, 0, 0}, .line = &number, .text = "so it is 12."},
        {.key = {1, 1, 1, 0}, .line = &number, .text = "$12.0"},
        {.key = {1, 1, 2, 0}, .line = &number, .text = "12 or 13"},
        {.key = {1, 1, 3, 0}, .line = &number, .text = "none"},
        {.key = {1, 2, 0, 0}, .line = &number, .text = "12"},
        {.key = {2, 2, 0, 0}, .line = &text, .text = "A, b"},
        {.key = {2, 2, 1, 0}, .line = &text, .text = "a,  B."},
        {.key = {2, 2, 2, 0}, .line = &text, .text = " "},
        {.key = {2, 2, 3, 0}, .line = &text, .text = "a"}};
    const double wanted[] = {0.5, 0.5, 0.25, 0, 1, 0.5, 0.5, 0, 0.25};
    enum { REPLIES = sizeof replies / sizeof *replies };
    double terms[REPLIES][TERM_MAX] = {{0}};
    struct source_set *set = set_of("majority");
    assert_done(sources_compute(set, replies, REPLIES, terms, NULL));
    for (int i = 0; i < REPLIES; i++) assert_close(terms[i][0], wanted[i]);
    sources_close(set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exact_is_the_number_that_the_reply_ends_with),
        cmocka_unit_test(gold_is_the_overlap_with_the_datas_reply_to_the_same_turn),
        cmocka_unit_test(texts_are_matched_or_contained),
        cmocka_unit_test(slots_are_the_share_that_a_turns_reply_names),
        cmocka_unit_test(an_answer_is_of_the_lines_last_reply),
        cmocka_unit_test(a_line_that_says_nothing_of_right_and_wrong_is_refused),
        cmocka_unit_test(majority_is_the_share_of_one_turns_replies_with_the_same_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
