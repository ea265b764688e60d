/* Reasoning in blocks against the float64 oracle, tests/golden/reasoning.json by
 * tools/reference/reasoning_oracle.py: where blocks begin, their rows' numbers, their terms, their
 * returns. */
#include "src/rollout/block_rows.h"

#include "src/base/config.h"
#include "src/base/json.h"
#include "src/learn/credit.h"
#include "src/learn/update_metrics.h"
#include "src/reward/blocks.h"
#include "src/rollout/blocks.h"
#include "src/rollout/sub_blocks.h"
#include "tests/model/model_test.h"

enum { MOST = 24 };

static json_t *fixture;

struct problem {
    int64_t count, block, marker, entries; /* of the question */
    int32_t tokens[MOST], reply[MOST];
    uint8_t visible[MOST], salient[MOST], marks[MOST], turn_of[MOST], part[MOST];
    float history[MOST * MOST], self[MOST * MOST];
    bool deep;
    struct captured_rows rows;
    struct prompt prompt;
};

static const json_t *member(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    if (!value) fail_msg("no \"%s\"", key);
    return value;
}

static double number(const json_t *object, const char *key)
{
    return json_number_value(member(object, key));
}

static int64_t bytes_of(const json_t *list, uint8_t *out, uint8_t bit)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        out[i] = (uint8_t)(out[i] | (json_integer_value(json_array_get(list, i)) ? bit : 0));
    return (int64_t)json_array_size(list);
}

static int64_t tokens_of(const json_t *list, int32_t *out)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        out[i] = (int32_t)json_integer_value(json_array_get(list, i));
    return (int64_t)json_array_size(list);
}

static int64_t rows_of(const json_t *list, float *out)
{
    const size_t width = json_array_size(json_array_get(list, 0));
    for (size_t r = 0; r < json_array_size(list); r++)
        for (size_t j = 0; j < width; j++)
            out[r * width + j] =
                (float)json_number_value(json_array_get(json_array_get(list, r), j));
    return (int64_t)width;
}

/* The depths that the tokens' texts have, beside the oracle's. */
static void depths_read(const json_t *from, struct problem *p)
{
    char text[16 * MOST] = "";
    int32_t begin[MOST], end[MOST];
    const json_t *pieces = member(from, "pieces"), *depths = member(from, "depths");
    for (int64_t t = 0; t < p->count; t++) {
        begin[t] = (int32_t)strlen(text);
        strcat(text, json_string_value(json_array_get(pieces, (size_t)t)));
        end[t] = (int32_t)strlen(text);
    }
    const int64_t reasoning = p->marker < 0 ? p->count : p->marker;
    assert_int_equal(json_array_size(depths), reasoning);
    assert_int_equal(sub_blocks_mark(text, begin, end, reasoning, strlen(text), p->marks),
                     json_is_true(member(from, "unbalanced")));
    for (int64_t t = 0; t < p->count; t++)
        assert_int_equal(token_depth(p->marks, t),
                         t < reasoning ? json_integer_value(json_array_get(depths, (size_t)t)) : 0);
}

static void problem_read(const json_t *from, struct problem *p)
{
    memset(p, 0, sizeof *p);
    p->block = json_integer_value(member(from, "block"));
    p->marker = json_integer_value(member(from, "marker"));
    p->entries = tokens_of(member(from, "tokens"), p->tokens);
    p->count = tokens_of(member(from, "reply"), p->reply);
    bytes_of(member(from, "visible"), p->visible, 1);
    bytes_of(member(from, "salient"), p->salient, 1);
    bytes_of(member(from, "reply_visible"), p->marks, BLOCK_VISIBLE);
    bytes_of(member(from, "reply_salient"), p->marks, BLOCK_SALIENT);
    p->deep = json_object_get(from, "pieces");
    if (p->deep) depths_read(from, p);
    p->rows.history = p->history;
    p->rows.history_stride = rows_of(member(from, "history"), p->history);
    if (!json_is_null(member(from, "self"))) {
        p->rows.reply_stride = rows_of(member(from, "self"), p->self);
        p->rows.reply = p->self;
    }
    p->prompt = (struct prompt){.tokens = p->tokens,
                                .visible = p->visible,
                                .salient = p->salient,
                                .turn_of = p->turn_of,
                                .part = p->part,
                                .count = p->entries,
                                .turns = 1,
                                .turn = 1};
    for (int64_t i = 0; i < p->entries; i++) {
        p->prompt.visible_count += p->visible[i];
        p->prompt.salient_count += p->salient[i];
    }
}

static void reply_make(const struct problem *p, struct reply *reply)
{
    const struct statistic_sizes sizes = {.turns = 1};
    reply_allocate(reply, &statistics_standard, &sizes, false, p->count);
    memcpy(reply->tokens, p->reply, (size_t)p->count * sizeof *p->reply);
    int32_t begin[MOST];
    const struct reply_blocks blocks = {
        .begin = begin,
        .marks = (uint8_t *)p->marks,
        .count = blocks_cut(p->count, p->block, p->marker, p->deep ? p->marks : NULL, begin),
        .answered = p->marker >= 0};
    reply_blocks_copy(reply, &blocks);
}

static void near_to(double saw, double want, double tolerance, const char *what, size_t at)
{
    if (!(fabs(saw - want) <= tolerance * fmax(1, fabs(want))))
        fail_msg("%s %zu: %.9g, the oracle says %.9g", what, at, saw, want);
}

/* Rows go through float once: 6e-8 of a weight, some ten weights a row. */
static void numbers_compare(const struct reply *reply, const json_t *wanted)
{
    static const int which[] = {STATISTIC_ENTROPY, STATISTIC_ENTROPY_FLOORED,
                                STATISTIC_SALIENT_MASS};
    for (size_t t = 0; t < json_array_size(wanted); t++)
        for (size_t i = 0; i < 3; i++)
            near_to((double)statistics_floats(&reply->statistics, which[i])[t],
                    json_number_value(json_array_get(json_array_get(wanted, t), i)), 2e-6,
                    statistics_standard.rows[which[i]].name, t);
}

static void case_compare(struct block_rows *b, const struct problem *p, const json_t *wanted)
{
    struct config config;
    struct reply reply;
    config_defaults(&config);
    CHECK(config_set(&config, "task=reasoning"));
    config.cot.block = p->block;
    if (p->deep) CHECK(config_set(&config, "cot.depth_lambda=1"));
    config.cot.self_weight = number(wanted, "self_weight");
    config.cot.block_form =
        strcmp(json_string_value(member(wanted, "form")), "rows") ? COT_STEPS : COT_ROWS;
    config.floor.delta0 = number(wanted, "delta");
    config.repetition.n = 2;
    const struct rollout_settings settings = rollout_settings_of(&config);
    reply_make(p, &reply);
    const json_t *begin = member(wanted, "begin"), *terms = member(wanted, "terms");
    assert_int_equal(reply.blocks.count, json_array_size(begin));
    for (int32_t u = 0; u < reply.blocks.count; u++)
        assert_int_equal(reply.blocks.begin[u],
                         json_integer_value(json_array_get(begin, (size_t)u)));
    CHECK(block_rows_read(b, &settings, &p->rows, 0, &p->prompt, (const uint32_t[3]){0}, &reply));
    numbers_compare(&reply, member(wanted, "numbers"));
    double merged[TERM_MAX] = {0}, each[MOST][TERM_MAX] = {{0}}, mean = 0;
    CHECK(reply_block_terms(&settings.reward, (struct turn_key){0, 1, 0, 0}, &p->prompt, &reply,
                            merged, *each, sizeof *each));
    for (size_t u = 0; u < json_array_size(terms); u++) {
        for (int64_t t = 0; t < settings.reward.term_count; t++)
            near_to(each[u][t],
                    number(json_array_get(terms, u), reward_term_name(&settings.reward, t)), 4e-6,
                    reward_term_name(&settings.reward, t), u);
        mean += each[u][1] / (double)json_array_size(terms);
    }
    near_to(merged[1], mean, 1e-12, "mean focus", 0);
    reply_free(&reply);
}

static void rows_and_terms_of_blocks_equal_the_oracle(void **state)
{
    (void)state;
    struct queue *q = queue_new(2);
    struct block_rows blocks;
    block_rows_create(&blocks, q);
    const json_t *cases = member(fixture, "cases");
    for (size_t i = 0; i < json_array_size(cases); i++) {
        struct problem p;
        problem_read(json_array_get(cases, i), &p);
        const json_t *read = member(json_array_get(cases, i), "read");
        for (size_t k = 0; k < json_array_size(read); k++)
            case_compare(&blocks, &p, json_array_get(read, k));
    }
    block_rows_destroy(&blocks);
    q->op->destroy(q);
}

/* The reply's reward_scaled is what its return adds up, lambdas and discount left out: the sum of
 * its blocks' rewards, or with cot.return: mean their mean. */
static void scaled_reward_compare(const struct learn_settings *settings,
                                  const struct batch_item *items, int64_t count,
                                  const double divisors[TERM_MAX], const json_t *rewards)
{
    struct update_metrics metrics = {0};
    double sum = 0;
    for (size_t u = 0; u < json_array_size(rewards); u++)
        sum += json_number_value(json_array_get(rewards, u));
    CHECK(update_metrics_fill(&settings->reward, items, count, divisors, &metrics));
    near_to(metrics.reward_scaled, settings->reward.block_mean ? sum / (double)count : sum, 1e-12,
            "reward_scaled", 0);
}

/* One given term of weight 1 is the reward of each block. */
static void returns_of_blocks_equal_the_oracle(void **state)
{
    (void)state;
    static const struct term given = {"given", NULL};
    const json_t *cases = member(fixture, "cases");
    for (size_t i = 0; i < json_array_size(cases); i++) {
        const json_t *one = json_array_get(cases, i), *rewards = member(one, "rewards");
        const size_t n = json_array_size(rewards);
        struct problem p;
        int32_t begin[MOST];
        problem_read(one, &p);
        assert_int_equal(blocks_cut(p.count, p.block, p.marker, p.deep ? p.marks : NULL, begin), n);
        for (size_t k = 0; k < json_array_size(member(one, "returns")); k++) {
            const json_t *wanted = json_array_get(member(one, "returns"), k);
            struct learn_settings settings = {
                .advantage = ADVANTAGE_TURN,
                .reward = {.terms = {{&given, 1, 0}},
                           .term_count = 1,
                           .block = 5,
                           .discount = number(wanted, "discount"),
                           .lambda_final = number(wanted, "lambda_final"),
                           .block_mean = json_is_true(member(wanted, "mean"))}};
            const json_t *by_depth = json_object_get(wanted, "depth_lambda");
            settings.reward.depth_count = (int64_t)json_array_size(by_depth);
            for (size_t d = 0; d < json_array_size(by_depth); d++)
                settings.reward.depth_lambda[d] = json_number_value(json_array_get(by_depth, d));
            struct running_statistics statistics = {0};
            struct batch_item items[MOST] = {0};
            double divisors[TERM_MAX];
            for (size_t u = 0; u < n; u++) {
                items[u].key = (struct turn_key){0, 1, 0, (int32_t)u};
                items[u].terms[0] = json_number_value(json_array_get(rewards, u));
                items[u].spans = (int32_t)n;
                items[u].chosen = true;
                items[u].value = 0.25;
                items[u].depth = by_depth ? token_depth(p.marks, begin[u]) : 0;
                items[u].answer = u + 1 == n && json_integer_value(member(one, "marker")) >= 0;
            }
            CHECK(credit_assign(&settings, &statistics, items, (int64_t)n, divisors));
            scaled_reward_compare(&settings, items, (int64_t)n, divisors, rewards);
            for (size_t u = 0; u < n; u++) {
                const double want = json_number_value(json_array_get(member(wanted, "value"), u));
                near_to(items[u].return_, want, 1e-12, "return", u);
                near_to(items[u].target, want, 1e-12, "target", u);
                near_to(items[u].span.value, want - 0.25, 1e-12, "advantage", u);
            }
        }
    }
}

static bool text_marks(const char *text, uint8_t *marks)
{
    int32_t begin[64], end[64];
    const int32_t n = (int32_t)strlen(text);
    for (int32_t i = 0; i < n; i++) {
        begin[i] = i;
        end[i] = i + 1;
    }
    memset(marks, BLOCK_VISIBLE, (size_t)n);
    return sub_blocks_mark(text, begin, end, n, (size_t)n, marks);
}

static void check_depths(const char *text, const char *depths, bool unbalanced)
{
    uint8_t marks[64];
    assert_int_equal(text_marks(text, marks), unbalanced);
    assert_int_equal(strlen(text), strlen(depths));
    for (size_t i = 0; i < strlen(text); i++) {
        if (token_depth(marks, (int64_t)i) != depths[i] - '0')
            fail_msg("%s: byte %zu has depth %d", text, i, token_depth(marks, (int64_t)i));
        assert_true(marks[i] & BLOCK_VISIBLE);
    }
}

static void tags_make_depths(void **state)
{
    (void)state;
    check_depths("no tags", "0000000", false);
    check_depths("a<sub>b</sub>c", "01111111111110", false);
    check_depths("<sub>1<sub>2</sub></sub>0", "1111112222222222221111110", false);
    check_depths("<sub>1</sub><sub>1", "111111111111111111", true);     /* closed at the end */
    check_depths("<sub><sub>2</sub>1", "111112222222222221", true);     /* the innermost closes */
    check_depths("0</sub>0<sub>1</sub>", "00000000111111111111", true); /* closes nothing */
    check_depths("<SUB>< sub><sub <sub>1</sub>", "0000000000000000111111111111", false);
    check_depths("", "", false);
    char deep[6 * 40];
    int32_t begin[40], end[40];
    uint8_t marks[40] = {0};
    deep[0] = 0;
    for (int i = 0; i < 40; i++) {
        strcat(deep, "<sub>");
        begin[i] = 5 * i;
        end[i] = 5 * i + 5;
    }
    assert_true(sub_blocks_mark(deep, begin, end, 40, strlen(deep), marks));
    for (int i = 0; i < 40; i++)
        assert_int_equal(token_depth(marks, i), i < BLOCK_DEPTH_MAX ? i + 1 : BLOCK_DEPTH_MAX);
}

/* Blocks of 5 bytes, anew where the depth changes. */
static void a_sub_block_is_blocks_of_its_own(void **state)
{
    (void)state;
    uint8_t marks[64];
    int32_t begin[64];
    assert_false(text_marks("abcdefg<sub>1</sub>hij#### 1", marks)); /* marks of reasoning */
    const int32_t want[] = {0, 5, 7, 12, 17, 19, 22};
    assert_int_equal(blocks_cut(28, 5, 22, marks, begin), 7);
    assert_memory_equal(begin, want, sizeof want);
    assert_int_equal(blocks_cut(28, 5, 22, NULL, begin), 6);
    assert_true(blocks_most(28, 5, true) >= 28);
}

static void the_answer_is_a_block_of_its_own(void **state)
{
    (void)state;
    int32_t begin[8];
    assert_int_equal(blocks_cut(12, 5, 7, NULL, begin), 3);
    assert_int_equal(begin[1], 5);
    assert_int_equal(begin[2], 7);
    assert_int_equal(blocks_cut(12, 5, 0, NULL, begin), 1);
    assert_int_equal(blocks_cut(12, 5, 10, NULL, begin), 3);
    assert_int_equal(begin[2], 10);
    assert_int_equal(blocks_cut(10, 5, -1, NULL, begin), 2);
    assert_int_equal(blocks_cut(0, 5, -1, NULL, begin), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_answer_is_a_block_of_its_own),
        cmocka_unit_test(tags_make_depths),
        cmocka_unit_test(a_sub_block_is_blocks_of_its_own),
        cmocka_unit_test(rows_and_terms_of_blocks_equal_the_oracle),
        cmocka_unit_test(returns_of_blocks_equal_the_oracle),
    };
    CHECK(json_read(REGARD_SOURCE "/tests/golden/reasoning.json", &fixture));
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    json_decref(fixture);
    return failed;
}
