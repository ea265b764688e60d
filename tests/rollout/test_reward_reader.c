/* A reward model that reads replies, of an encoder and of a decoder-only model: a value is of its
 * sequence alone, whatever is beside it; tokens that are its own are read as they are, others'
 * texts are encoded anew; a reply that was cut off gets its end token. */
#include "src/base/config.h"
#include "src/rollout/reward_reader.h"
#include "tests/model/model_test.h"

enum { REPLIES = 5 };

static const struct message messages[] = {{ROLE_USER, "Is it open?", NULL},
                                          {ROLE_ASSISTANT, "Which day?", NULL},
                                          {ROLE_USER, "Monday, in the morning.", NULL}};
enum { MESSAGES = sizeof messages / sizeof *messages };
static const char *const texts[REPLIES] = {"Yes.", "No, it is not.", "Yes.", "",
                                           "Perhaps: who knows?"};

struct fixture {
    struct queue *q;
    struct value_model *model;
    struct language *words; /* of the asker */
    bool causal;
};

static struct language *language_new(bool causal, int64_t extra_ids)
{
    struct config config;
    struct language *language;
    config_defaults(&config);
    CHECK(config_set(&config, "tokenizer.path=bytes"));
    CHECK(config_set(&config, causal ? "model.family=llama" : "model.family=t5"));
    struct language_settings words = language_settings_of(&config);
    words.extra_ids = extra_ids;
    CHECK(language_open(&words, "", NULL, &language));
    return language;
}

static void open_model(struct fixture *f, bool causal)
{
    static const struct model_setting settings[] = {
        {"vocabulary", 384}, {"d_model", 24}, {"d_kv", 8},       {"d_ff", 40}, {"heads", 4},
        {"kv_heads", 2},     {"layers", 2},   {"context", 2048}, {"pad", 0},   {"end", 1}};
    struct model_shape *shape;
    struct model *policy;
    *f = (struct fixture){.q = queue_new(2), .words = language_new(causal, 125), .causal = causal};
    CHECK(model_shape_from_settings(causal ? "llama" : "t5", settings,
                                    sizeof settings / sizeof *settings, &shape));
    CHECK(model_create(f->q, shape, true, &policy));
    free(shape);
    CHECK(model_initialize(policy, 3));
    CHECK(value_model_create(f->q, model_shape(policy), true, &f->model));
    CHECK(value_model_start_from(f->model, policy));
    model_destroy(policy);
    parameters_stir(value_model_parameters(f->model), 5);
    CHECK(value_model_refresh(f->model));
}

static struct reward_reader *reader_new(struct fixture *f, int64_t extra_ids, int64_t pass_tokens)
{
    struct reward_reader *reader;
    CHECK(reward_reader_create(f->model, language_new(f->causal, extra_ids), f->words, pass_tokens,
                               &reader));
    return reader;
}

static void every_value_is_of_its_sequence_alone(bool causal)
{
    struct fixture f;
    struct reward_sequence sequences[REPLIES];
    double together[REPLIES], alone[REPLIES];
    open_model(&f, causal);
    struct reward_reader *reader = reader_new(&f, 125, 1000);
    CHECK(reward_reader_reserve(reader, REPLIES, 120));
    for (int i = 0; i < REPLIES; i++) {
        const struct reward_asked asked = {
            .name = "h", .messages = messages, .message_count = MESSAGES, .text = texts[i]};
        CHECK(reward_reader_encode(reader, &asked, NULL, &sequences[i]));
    }
    CHECK(reward_reader_read(reader, sequences, REPLIES, together));
    for (int i = 0; i < REPLIES; i++) {
        CHECK(reward_reader_read(reader, &sequences[i], 1, &alone[i]));
        reward_sequence_free(&sequences[i]);
    }
    assert_memory_equal(alone, together, sizeof alone);
    assert_true(together[0] == together[2] && together[0] != together[1]);
    reward_reader_destroy(reader);
    language_close(f.words);
    f.q->op->destroy(f.q);
}

/* Short ones are no more a pass than room was made for. */
static void short_sequences_take_what_was_reserved(void **state)
{
    enum { SHORT = 6, TOKENS = 8 };
    struct fixture f;
    struct counted_queue counted;
    int32_t tokens[TOKENS];
    struct reward_sequence sequences[SHORT];
    double values[SHORT], alone;
    (void)state;
    open_model(&f, false);
    struct reward_reader *reader = reader_new(&f, 125, 80);
    CHECK(reward_reader_reserve(reader, 2, 40));
    for (int i = 0; i < TOKENS; i++) tokens[i] = 70 + i;
    for (int i = 0; i < SHORT; i++)
        sequences[i] = (struct reward_sequence){.tokens = tokens, .count = TOKENS - i};
    allocations_count(f.q, &counted);
    CHECK(reward_reader_read(reader, sequences, SHORT, values));
    assert_int_equal(allocations_counted(f.q, &counted), 0);
    for (int i = 0; i < SHORT; i++) {
        CHECK(reward_reader_read(reader, &sequences[i], 1, &alone));
        assert_true(alone == values[i]);
    }
    reward_reader_destroy(reader);
    language_close(f.words);
    f.q->op->destroy(f.q);
}

/* A batch of its largest replies allocates nothing beyond what was reserved for it, by tokens and,
 * where a letter of the asker's has three bytes, by texts. */
static void replies_that_are_judged_take_what_was_reserved(bool causal, int64_t extra_ids)
{
    enum { HISTORY = 64, REPLY = 24 };
    struct fixture f;
    struct counted_queue counted;
    struct source_reply replies[REPLIES];
    int32_t history[HISTORY], reply[REPLY + 1];
    double values[REPLIES];
    char text[3 * REPLY + 1];
    open_model(&f, causal);
    struct reward_reader *reader = reader_new(&f, extra_ids, 1000);
    const int64_t longest = reward_reader_sequence(reader, HISTORY, REPLY);
    CHECK(reward_reader_reserve(reader, REPLIES, longest));
    for (int i = 0; i < HISTORY; i++) history[i] = 70 + i;
    for (int i = 0; i < REPLY; i++) {
        reply[i] = 70 + i;
        memcpy(text + 3 * i, "\xE2\x82\xAC", 4);
    }
    for (int i = 0; i < REPLIES; i++)
        replies[i] = (struct source_reply){.messages = messages,
                                           .message_count = MESSAGES,
                                           .text = text,
                                           .history = history,
                                           .history_count = HISTORY,
                                           .tokens = reply,
                                           .count = REPLY};
    allocations_count(f.q, &counted);
    CHECK(reward_reader_judge(reader, replies, REPLIES, values));
    assert_int_equal(allocations_counted(f.q, &counted), 0);
    reward_reader_destroy(reader);
    language_close(f.words);
    f.q->op->destroy(f.q);
}

static void judging_allocates_nothing(void **state)
{
    (void)state;
    for (int causal = 0; causal < 2; causal++) {
        replies_that_are_judged_take_what_was_reserved(causal, 125);
        replies_that_are_judged_take_what_was_reserved(causal, 100);
    }
}

/* What a source of a policy with the words of f is asked: tokens without the end where `cut`. */
static void judge(struct fixture *f, struct reward_reader *reader, bool cut, double *values)
{
    struct source_reply replies[REPLIES];
    struct encoded_history encoded;
    int32_t *ids[REPLIES];
    struct history *history = history_create(&f->words->history, "h");
    for (int m = 0; m < MESSAGES; m++)
        CHECK(history_add_text(history, messages[m].role, messages[m].content));
    CHECK(history_encode(history, &encoded));
    for (int i = 0; i < REPLIES; i++) {
        replies[i] = (struct source_reply){.messages = messages,
                                           .message_count = MESSAGES,
                                           .text = texts[i],
                                           .history = encoded.ids,
                                           .history_count = encoded.count,
                                           .ended = !cut};
        CHECK(
            reply_encode(&f->words->history, ROLE_ASSISTANT, texts[i], &ids[i], &replies[i].count));
        replies[i].tokens = ids[i];
        replies[i].count -= cut;
    }
    CHECK(reward_reader_judge(reader, replies, REPLIES, values));
    for (int i = 0; i < REPLIES; i++) free(ids[i]);
    encoded_history_free(&encoded);
    history_free(history);
}

static void tokens_texts_and_cut_replies_come_to_the_same(bool causal)
{
    struct fixture f;
    double by_tokens[REPLIES], by_texts[REPLIES], cut[REPLIES];
    open_model(&f, causal);
    struct reward_reader *reader = reader_new(&f, 125, 80);
    judge(&f, reader, false, by_tokens);
    judge(&f, reader, true, cut);
    reward_reader_destroy(reader);
    language_close(f.words);
    f.q->op->destroy(f.q);
    /* The same model with a tokenizer of other size: the asker's tokens are not its own. */
    open_model(&f, causal);
    reader = reader_new(&f, 100, 80);
    judge(&f, reader, true, by_texts);
    reward_reader_destroy(reader);
    language_close(f.words);
    f.q->op->destroy(f.q);
    assert_memory_equal(by_tokens, by_texts, sizeof by_tokens);
    assert_memory_equal(by_tokens, cut, sizeof by_tokens);
    assert_true(by_tokens[0] != by_tokens[1]);
}

static void an_encoders_value_is_of_its_sequence_alone(void **state)
{
    (void)state;
    every_value_is_of_its_sequence_alone(false);
}

static void a_causal_models_value_is_of_its_sequence_alone(void **state)
{
    (void)state;
    every_value_is_of_its_sequence_alone(true);
}

static void an_encoder_reads_tokens_and_texts_alike(void **state)
{
    (void)state;
    tokens_texts_and_cut_replies_come_to_the_same(false);
}

static void a_causal_model_reads_tokens_and_texts_alike(void **state)
{
    (void)state;
    tokens_texts_and_cut_replies_come_to_the_same(true);
}

static void tokenizers_are_told_apart(void **state)
{
    struct tokenizer *a = tokenizer_bytes(125), *b = tokenizer_bytes(125), *c = tokenizer_bytes(3);
    bool same;
    (void)state;
    CHECK(tokenizer_same(a, b, &same));
    assert_true(same);
    CHECK(tokenizer_same(a, c, &same));
    assert_false(same);
    tokenizer_close(a);
    tokenizer_close(b);
    tokenizer_close(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_encoders_value_is_of_its_sequence_alone),
        cmocka_unit_test(a_causal_models_value_is_of_its_sequence_alone),
        cmocka_unit_test(an_encoder_reads_tokens_and_texts_alike),
        cmocka_unit_test(a_causal_model_reads_tokens_and_texts_alike),
        cmocka_unit_test(judging_allocates_nothing),
        cmocka_unit_test(short_sequences_take_what_was_reserved),
        cmocka_unit_test(tokenizers_are_told_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
