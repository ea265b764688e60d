/* Slots that stand for turns that were cut off a history. */
#include "src/base/cut_turns.h"
#include "src/model/slots.h"
#include "tests/model/model_test.h"

static void words_are_turns_or_they_are_not(void **state)
{
    (void)state;
    struct cut_turns t;
    static const int32_t good[] = {-1, 2, 2, 1, 3, 7, 8, 9, 10, 99};
    static const struct {
        int count;
        int32_t words[8];
    } none[] = {{0, {0}},
                {3, {4, 5, 6}},            /* a decoder-only model's cuts */
                {2, {-1, 1}},              /* too short */
                {5, {-1, 0, 1, 1, 7}},     /* no slot */
                {5, {-1, 1, 0, 1, 7}},     /* no turn */
                {5, {-1, 1, 1, 2, 7}},     /* a token is missing */
                {5, {-1, 1, 3, 1, 1}},     /* a length is missing */
                {6, {-1, 1, 2, 0, 1, 7}}}; /* a turn without tokens */
    assert_true(cut_turns_read(good, 10, &t));
    assert_int_equal(t.slots, 2);
    assert_int_equal(t.turns, 2);
    assert_int_equal(t.tokens, 4);
    assert_int_equal(t.length[1], 3);
    assert_int_equal(t.token[3], 10);
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        assert_false(cut_turns_read(none[i].words, none[i].count, &t));
        assert_int_equal(t.slots + t.turns + t.tokens, 0);
    }
}

/* The encoder's output for these tokens alone. */
static float *encoded(struct model *model, const int32_t *tokens, int32_t count)
{
    struct model_run *run;
    const int32_t begin[2] = {0, count};
    const struct model_batch batch = {
        .histories = 1, .history_begin = begin, .history_tokens = tokens};
    CHECK(model_run_create(model, &run));
    CHECK(model_forward(run, &batch, MODEL_KEEP_NOTHING, 0));
    float *out =
        host_of(model_queue(model), model_run_hidden(run), count * model_shape(model)->width);
    model_run_destroy(run);
    return out;
}

/* A slot is the mean of its turn encoded by itself; the tokens behind the slots are as they are
 * without them. */
static void a_slot_is_the_mean_of_its_turn_and_others_do_not_see_it(void **state)
{
    (void)state;
    struct queue *q = queue_new(2);
    struct model *model = tiny_model(q, true);
    struct model_run *run;
    struct tiny_batch tiny;
    tiny_batch_fill(&tiny);
    tiny_batch_summarize(&tiny, 0);
    const int64_t d = model_shape(model)->width;
    CHECK(model_run_create(model, &run));
    CHECK(model_forward(run, &tiny.batch, MODEL_KEEP_NOTHING, 0));
    assert_int_equal(model_run_tokens(run), 21 + 23 + 22);
    float *hidden = host_of(q, model_run_hidden(run), 21 * d);
    for (int h = 0; h < 4; h++) {
        struct cut_turns turns;
        const int32_t begin = tiny.history_begin[h], end = tiny.history_begin[h + 1];
        cut_turns_read(tiny.cuts + tiny.cut_begin[h], tiny.cut_begin[h + 1] - tiny.cut_begin[h],
                       &turns);
        const int32_t slots = (int32_t)turns.slots, *token = turns.token;
        for (int32_t s = 0; s < slots; s++) {
            float *alone = encoded(model, token, turns.length[s]);
            for (int64_t j = 0; j < d; j++) {
                double mean = 0;
                for (int32_t t = 0; t < turns.length[s]; t++)
                    mean += (double)alone[t * d + j] / turns.length[s];
                const double saw = (double)hidden[(begin + s) * d + j];
                /* a float32 sum of at most 12 numbers below 4 */
                if (!(fabs(saw - mean) < 5e-6)) fail_msg("slot %d: %g, not %g", s, saw, mean);
            }
            free(alone);
            token += turns.length[s];
        }
        float *kept = encoded(model, tiny.history_tokens + begin + slots, end - begin - slots);
        check_bits(hidden + (begin + slots) * d, kept, (end - begin - slots) * d, "kept", h);
        free(kept);
    }
    free(hidden);
    model_run_destroy(run);
    model_destroy(model);
    q->op->destroy(q);
}

/* Learned slots by their definition in float64: K queries over all of a history's turns, 16
 * elements being one head. */
static void learned_slots_are_what_queries_read_of_the_turns(void **state)
{
    (void)state;
    enum { K = 3, D = 16 };
    struct queue *q = queue_new(2);
    struct model *model = tiny_model(q, true);
    struct model_run *run;
    struct tiny_batch tiny;
    tiny_batch_fill(&tiny);
    tiny_batch_summarize(&tiny, K);
    float *before = host_of(q, model_parameters(model)->values, model_parameters(model)->size);
    const float first = before[parameters_find(model_parameters(model), "lm_head.weight")->offset];
    free(before);
    CHECK(model_add_slots(&model, K, true, 5));
    const struct parameters *p = model_parameters(model);
    float *values = host_of(q, p->values, p->size);
    const float *query = values + parameters_find(p, "encoder.summary_queries")->offset;
    /* Its own parameters stay. */
    assert_true(values[parameters_find(p, "lm_head.weight")->offset] == first);
    CHECK(model_run_create(model, &run));
    CHECK(model_forward(run, &tiny.batch, MODEL_KEEP_NOTHING, 0));
    float *hidden = host_of(q, model_run_hidden(run), 21 * D);
    for (int h = 0; h < 4; h++) {
        struct cut_turns turns;
        float states[20 * D];
        int64_t n = 0;
        cut_turns_read(tiny.cuts + tiny.cut_begin[h], tiny.cut_begin[h + 1] - tiny.cut_begin[h],
                       &turns);
        const int32_t *token = turns.token;
        for (int64_t t = 0; t < turns.turns; t++) {
            float *alone = encoded(model, token, turns.length[t]);
            memcpy(states + n * D, alone, (size_t)turns.length[t] * D * sizeof *alone);
            free(alone);
            token += turns.length[t];
            n += turns.length[t];
        }
        for (int64_t s = 0; s < turns.slots; s++) {
            double weight[20], sum = 0;
            for (int64_t i = 0; i < n; i++) {
                double score = 0;
                for (int j = 0; j < D; j++)
                    score += (double)query[s * D + j] * (double)states[i * D + j];
                sum += weight[i] = exp(score / 4);
            }
            for (int j = 0; j < D; j++) {
                double want = 0;
                for (int64_t i = 0; i < n; i++) want += weight[i] / sum * (double)states[i * D + j];
                const double saw = (double)hidden[(tiny.history_begin[h] + s) * D + j];
                /* float32 weights of at most 17 states below 4 */
                if (!(fabs(saw - want) < 1e-5))
                    fail_msg("history %d, slot %d: %g, not %g", h, (int)s, saw, want);
            }
        }
    }
    free(hidden);
    free(values);
    model_run_destroy(run);
    model_destroy(model);
    q->op->destroy(q);
}

static void reserved_run_allocates_no_more(bool learned)
{
    struct queue *q = queue_new(1);
    struct model *model = tiny_model(q, true);
    struct model_run *run;
    struct tiny_batch tiny;
    struct counted_queue counted;
    tiny_batch_fill(&tiny);
    tiny_batch_summarize(&tiny, learned ? 3 : 0);
    if (learned) CHECK(model_add_slots(&model, 3, true, 5));
    const struct model_limits limits = {.histories = 4,
                                        .history_tokens = 21 + 23,
                                        .longest_history = 12,
                                        .summary_slots = 3,
                                        .replies = 5,
                                        .reply_tokens = 22,
                                        .longest_reply = 8,
                                        .capture_layers = 2,
                                        .keep = MODEL_KEEP_ALL};
    CHECK(model_run_create(model, &run));
    CHECK(model_run_reserve(run, &limits));
    allocations_count(q, &counted);
    CHECK(model_forward(run, &tiny.batch, MODEL_KEEP_ALL, 2));
    CHECK(model_forward(run, &tiny.batch, MODEL_KEEP_NOTHING, 2));
    assert_int_equal(allocations_counted(q, &counted), 0);
    model_run_destroy(run);
    model_destroy(model);
    q->op->destroy(q);
}

static void a_run_reserved_for_slots_allocates_no_more(void **state)
{
    (void)state;
    reserved_run_allocates_no_more(false);
    reserved_run_allocates_no_more(true);
}

static void turns_that_cannot_be_are_refused(void **state)
{
    (void)state;
    struct queue *q = queue_new(1);
    struct model *model = tiny_model(q, true);
    struct model_run *run;
    static const struct {
        int word;
        int32_t value;
        const char *part;
    } cases[] = {{1, 5, "5 tokens and 5 slots"},
                 {1, 1, "1 slots for 2 turns"},
                 {3, 9, "do not add up"},
                 {5, 23, "token 23 is outside the vocabulary"}};
    CHECK(model_run_create(model, &run));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tiny_batch tiny;
        tiny_batch_fill(&tiny);
        tiny_batch_summarize(&tiny, 0);
        tiny.cuts[cases[i].word] = cases[i].value;
        status s = model_forward(run, &tiny.batch, MODEL_KEEP_NOTHING, 0);
        if (!s || !strstr(status_message(s), cases[i].part))
            fail_msg("%s: %s", cases[i].part, s ? status_message(s) : "taken");
        status_free(s);
    }
    model_run_destroy(run);
    model_destroy(model);
    q->op->destroy(q);
}

/* shape.json of a model without them is what it was before there were any. */
static void only_models_with_slots_write_their_number(void **state)
{
    (void)state;
    for (int64_t slots = 0; slots < 2; slots++) {
        struct t5_shape shape = tiny_shape(true);
        struct model_shape *again;
        shape.summary_slots = slots;
        char *text = model_shape_to_json(&shape.common);
        assert_int_equal(strstr(text, "summary_slots") != NULL, slots);
        json_t *json = json_loads(text, 0, NULL);
        CHECK(model_shape_from_json(json, "shape.json", &again));
        assert_int_equal(model_slots(again), slots);
        free(again);
        /* of the other rows none may be missing */
        assert_int_equal(json_object_del(json, "d_model"), 0);
        status s = model_shape_from_json(json, "shape.json", &again);
        assert_non_null(s);
        assert_non_null(strstr(status_message(s), "shape.json: \"d_model\" is missing"));
        status_free(s);
        json_decref(json);
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_are_turns_or_they_are_not),
        cmocka_unit_test(a_slot_is_the_mean_of_its_turn_and_others_do_not_see_it),
        cmocka_unit_test(learned_slots_are_what_queries_read_of_the_turns),
        cmocka_unit_test(a_run_reserved_for_slots_allocates_no_more),
        cmocka_unit_test(turns_that_cannot_be_are_refused),
        cmocka_unit_test(only_models_with_slots_write_their_number),
    };
    return cmocka_run_group_tests_name("t5_summary", tests, NULL, NULL);
}
