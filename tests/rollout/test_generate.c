/* Sampling and teacher-forced scoring of the same replies: equal bits in every array, whatever
 * the number of rows at once. */
#include "src/base/config.h"
#include "src/rollout/generator.h"
#include "tests/rollout/reply_checks.h"

enum { PROMPTS = 9, CANDIDATES = 4, ROWS = PROMPTS * CANDIDATES, STEPS = 12 };
static const int64_t batches[5] = {1, 2, 3, 8, 32};
static const int64_t batches_cuda[2] = {3, 32}; /* through the shim, which is slow */

struct fixture {
    struct queue *q;
    struct model *model;
    struct generator *generator; /* the standard statistics */
    struct generator *heads;     /* and those of every head */
    struct config config;
    struct prompt prompts[PROMPTS];
    struct reply_row rows[ROWS];
};

/* Histories of 1 to 23 tokens, a third salient, the last tokens from a second turn. */
static int open_fixture(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    f->q = queue_new(2);
    f->model = tiny_model(f->q, true);
    CHECK(generator_create(f->model, &statistics_standard, &f->generator));
    CHECK(generator_create(f->model, statistics_of(model_shape(f->model), true), &f->heads));
    config_defaults(&f->config);
    f->config.seed = 11;
    f->config.rollout.temperature = 1;
    f->config.rollout.top_k = 0;
    f->config.rollout.top_p = 1;
    f->config.rollout.max_new_tokens = STEPS;
    f->config.attention.layers = 2;
    for (int p = 0; p < PROMPTS; p++) {
        static const int64_t lengths[PROMPTS] = {5, 1, 23, 17, 8, 16, 2, 15, 9};
        int32_t tokens[24];
        uint8_t salient[24];
        for (int64_t i = 0; i < lengths[p]; i++) {
            tokens[i] = 2 + (int32_t)(uniform_at((uint32_t)p, (uint32_t)i) * 21);
            salient[i] = i % 3 == 1;
        }
        if (lengths[p] > 1) tokens[lengths[p] - 1] = 1;
        const struct special_ids special = {0, (const int32_t[]){1}, 1};
        const struct rollout_settings settings = rollout_settings_of(&f->config);
        CHECK(prompt_from_tokens(tokens, salient, lengths[p], 1 + p % 3, &special, &settings,
                                 &f->prompts[p]));
        for (int64_t i = lengths[p] / 2; i < lengths[p]; i++)
            f->prompts[p].turn_of[i] = (uint8_t)(p % 3);
        f->prompts[p].turns = 1 + p % 3;
    }
    for (int r = 0; r < ROWS; r++)
        f->rows[r] = (struct reply_row){
            r / CANDIDATES, {(uint32_t)(100 + r / CANDIDATES), 1, (uint32_t)(r % CANDIDATES)}, 0};
    *state = f;
    return 0;
}

static int close_fixture(void **state)
{
    struct fixture *f = *state;
    for (int p = 0; p < PROMPTS; p++) prompt_free(&f->prompts[p]);
    generator_destroy(f->generator);
    generator_destroy(f->heads);
    model_destroy(f->model);
    f->q->op->destroy(f->q);
    free(f);
    return 0;
}

static void replies_free(struct reply *replies)
{
    for (int r = 0; r < ROWS; r++) reply_free(&replies[r]);
}

static void generate(struct fixture *f, struct generator *generator, const struct config *config,
                     int64_t batch, struct reply *replies)
{
    struct rollout_settings own = rollout_settings_of(config);
    own.batch = batch;
    own.self_certainty = true;
    CHECK(generate_replies(generator, &own, RANDOM_SAMPLING, f->prompts, f->rows, ROWS, replies));
}

/* Scores the tokens of `from` with the generator given. */
static void score(struct fixture *f, struct generator *generator, const struct config *config,
                  int64_t batch, const struct reply *from, struct reply *replies)
{
    struct rollout_settings own = rollout_settings_of(config);
    struct given_reply given[ROWS];
    own.batch = batch;
    own.self_certainty = true;
    for (int r = 0; r < ROWS; r++)
        given[r] = (struct given_reply){from[r].tokens, from[r].count, from[r].ended, NULL};
    CHECK(score_replies(generator, &own, f->prompts, f->rows, ROWS, given, replies));
}

static void check_equal(const struct reply *saw, const struct reply *want)
{
    check_equal_rows(saw, want, ROWS);
}

/* What the replies must be like for their equality to say something. */
static void check_varied(const struct reply *replies)
{
    int distinct = 0, tokens = 0, ended = 0;
    for (int r = 0; r < ROWS; r++) {
        bool seen = false;
        for (int o = 0; o < r; o++)
            seen = seen || (replies[o].count == replies[r].count &&
                            !memcmp(replies[o].tokens, replies[r].tokens,
                                    (size_t)replies[r].count * sizeof(int32_t)));
        distinct += !seen;
        ended += replies[r].ended;
        tokens += (int)replies[r].count;
    }
    if (distinct < ROWS * 4 / 5) fail_msg("only %d of %d replies are distinct", distinct, ROWS);
    if (tokens < 4 * ROWS) fail_msg("only %d tokens", tokens);
    if (ended == 0 || ended == ROWS) fail_msg("%d of %d replies ended", ended, ROWS);
}

static void generating_and_scoring_agree(struct fixture *f, struct generator *generator,
                                         const struct config *config)
{
    struct reply want[ROWS], saw[ROWS];
    const bool cuda = f->q->op->graph_begin;
    const int64_t first = cuda ? batches_cuda[1] : batches[3];
    generate(f, generator, config, first, want);
    check_varied(want);
    for (int b = 0; b < (cuda ? 2 : 5); b++) {
        const int64_t batch = cuda ? batches_cuda[b] : batches[b];
        if (batch != first) {
            generate(f, generator, config, batch, saw);
            check_equal(saw, want);
            replies_free(saw);
        }
        score(f, generator, config, batch, want, saw);
        check_equal(saw, want);
        replies_free(saw);
    }
    replies_free(want);
}

static void sampled_replies_are_the_same_in_any_batch_and_when_scored(void **state)
{
    struct fixture *f = *state;
    generating_and_scoring_agree(f, f->heads, &f->config);
}

static void so_are_those_of_temperature_1_3_cut_and_with_a_mixing_floor(void **state)
{
    struct fixture *f = *state;
    struct config config = f->config;
    config.rollout.temperature = 1.3;
    config.rollout.top_k = 15;
    config.rollout.top_p = 0.95;
    config.floor.form = FLOOR_MIX;
    config.floor.delta0 = 1.5;
    generating_and_scoring_agree(f, f->generator, &config);
}

static void shuffled_rows_are_the_same_in_both_and_other_than_unshuffled(void **state)
{
    struct fixture *f = *state;
    struct config config = f->config;
    config.control = CONTROL_SHUFFLED;
    /* Every head's where that costs little: not through the shim. */
    generating_and_scoring_agree(f, f->q->op->graph_begin ? f->generator : f->heads, &config);
    struct reply plain[ROWS], shuffled[ROWS];
    generate(f, f->generator, &f->config, 8, plain);
    generate(f, f->generator, &config, 8, shuffled);
    int64_t other = 0, all = 0;
    for (int r = 0; r < ROWS; r++) {
        assert_int_equal(plain[r].count, shuffled[r].count);
        check_integers(shuffled[r].tokens, plain[r].tokens, plain[r].count, "tokens", r);
        if (f->prompts[f->rows[r].prompt].visible_count < 5) continue;
        for (int64_t t = 0; t < plain[r].count; t++, all++) {
            other += statistics_floats(&plain[r].statistics, STATISTIC_SALIENT_MASS)[t] !=
                     statistics_floats(&shuffled[r].statistics, STATISTIC_SALIENT_MASS)[t];
            /* A permutation keeps the entropy but for the order of the sum. */
            const float before = statistics_floats(&plain[r].statistics, STATISTIC_ENTROPY)[t];
            const float after = statistics_floats(&shuffled[r].statistics, STATISTIC_ENTROPY)[t];
            if (!(fabsf(before - after) < 1e-5f))
                fail_msg("row %d, token %lld: entropy %g became %g", r, (long long)t, before,
                         after);
        }
    }
    if (other * 10 < all * 8)
        fail_msg("only %lld of %lld masses changed", (long long)other, (long long)all);
    replies_free(plain);
    replies_free(shuffled);
}

static void a_frozen_scorer_of_equal_weights_sees_what_the_live_one_does(void **state)
{
    struct fixture *f = *state;
    struct model *reference = tiny_model(f->q, true);
    struct generator *scorer;
    CHECK(generator_create(reference, statistics_of(model_shape(reference), true), &scorer));
    struct reply live[ROWS], frozen[ROWS];
    generate(f, f->heads, &f->config, 8, live);
    score(f, scorer, &f->config, 3, live, frozen);
    check_equal(frozen, live);
    replies_free(live);
    replies_free(frozen);
    generator_destroy(scorer);
    model_destroy(reference);
}

/* Cut replies are the beginnings of whole ones, bit for bit what scoring them gives, in any batch.
 */
static void cut_replies_are_beginnings_and_have_the_bits_of_scoring(void **state)
{
    struct fixture *f = *state;
    struct reply whole[ROWS], want[ROWS], saw[ROWS];
    const bool cuda = f->q->op->graph_begin;
    int64_t cut = 0, ended = 0;
    generate(f, f->generator, &f->config, 8, whole);
    for (int r = 0; r < ROWS; r++) f->rows[r].limit = r % 3 ? 1 + r % (STEPS - 1) : 0;
    for (int b = 0; b < (cuda ? 1 : 5); b++) { /* through the shim one, which is slow */
        generate(f, f->heads, &f->config, cuda ? 32 : batches[b], saw);
        if (b == 0) memcpy(want, saw, sizeof want);
        if (b > 0) check_equal(saw, want);
        for (int r = 0; b > 0 && r < ROWS; r++)
            assert_int_equal(saw[r].interrupted, want[r].interrupted);
        if (b > 0) replies_free(saw);
    }
    for (int r = 0; r < ROWS; r++) {
        const int64_t limit = f->rows[r].limit;
        const bool is_cut =
            limit && (whole[r].count > limit || (whole[r].count == limit && !whole[r].ended));
        assert_int_equal(want[r].interrupted, is_cut);
        assert_int_equal(want[r].count, is_cut ? limit : whole[r].count);
        assert_int_equal(want[r].ended, !is_cut && whole[r].ended);
        check_integers(want[r].tokens, whole[r].tokens, want[r].count, "tokens", r);
        check_bits(want[r].logp, whole[r].logp, want[r].count, "logp", r);
        cut += is_cut;
        ended += limit && !is_cut;
    }
    assert_true(cut > ROWS / 4 && ended > 0);
    score(f, f->heads, &f->config, 8, want, saw);
    check_equal(saw, want);
    replies_free(saw);
    replies_free(want);
    replies_free(whole);
    for (int r = 0; r < ROWS; r++) f->rows[r].limit = 0;
}

static void an_empty_reply_is_scored_as_empty_between_others(void **state)
{
    struct fixture *f = *state;
    struct reply want[ROWS], saw[ROWS];
    generate(f, f->heads, &f->config, 8, want);
    for (int r = 0; r < ROWS; r += 5) {
        const struct statistic_sizes sizes = want[r].statistics.sizes;
        reply_free(&want[r]);
        reply_allocate(&want[r], generator_statistics(f->heads), &sizes, true, 0);
    }
    score(f, f->heads, &f->config, 8, want, saw);
    check_equal(saw, want);
    replies_free(want);
    replies_free(saw);
}

/* The replies to the first `count` rows by a generator of its own kind. */
static void generate_with(struct fixture *f, struct generator *generator,
                          const struct config *config, int64_t count, struct reply *replies)
{
    const struct rollout_settings settings = rollout_settings_of(config);
    memset(replies, 0, ROWS * sizeof *replies);
    CHECK(generate_replies(generator, &settings, RANDOM_SAMPLING, f->prompts, f->rows, count,
                           replies));
}

/* Kinds of steps whose recording failed. */
static int64_t refused_count(const struct generator *generator)
{
    int64_t count = 0;
    for (int i = 0; i < STEP_GRAPHS_MAX; i++) count += generator->recorded.entry[i].refused;
    return count;
}

/* Numbers of rows that are no bucket, rows that leave in the middle, one row, every row in one
 * batch; the second turn finds what the first has recorded. */
static void recorded_steps_have_the_bits_of_calls_and_are_recorded_once(void **state)
{
    struct fixture *f = *state;
    static const int64_t cases[3] = {36, 11, 1};
    if (!f->q->op->graph_begin) skip();
    struct config config = f->config;
    struct reply want[ROWS], saw[ROWS];
    struct generator *calls;
    CHECK(generator_create(f->model, statistics_of(model_shape(f->model), true), &calls));
    generator_use_graphs(calls, false);
    config.infer.batch = ROWS;
    config.rollout.max_new_tokens = 2 * STEPS; /* so that rows leave more than once */
    generate_with(f, calls, &config, ROWS, want);
    check_varied(want);
    assert_int_equal(calls->recorded.recordings, 0);
    for (int reserved = 0; reserved < 2; reserved++) {
        struct generator *graphs;
        CHECK(generator_create(f->model, statistics_of(model_shape(f->model), true), &graphs));
        const struct rollout_settings settings = rollout_settings_of(&config);
        if (reserved) CHECK(generator_reserve(graphs, &settings, CANDIDATES));
        const int64_t layout = graphs->layout;
        for (int c = 0; c < 3; c += 1 + reserved)
            for (int turn = 0; turn < 3; turn++) {
                const int64_t before = graphs->recorded.recordings;
                generate_with(f, graphs, &config, cases[c], saw);
                check_equal_rows(saw, want, cases[c]);
                replies_free(saw);
                if (turn == 0 && c == 0) assert_true(graphs->recorded.recordings > 1);
                if (turn == 2) assert_int_equal(graphs->recorded.recordings, before);
            }
        assert_int_equal(refused_count(graphs), 0);
        if (reserved) assert_int_equal(graphs->layout, layout);
        generator_destroy(graphs);
    }
    replies_free(want);
    generator_destroy(calls);
}

/* history.prune: mass.  Against the rows that scoring captures of the same tokens, added in
 * order. */
static void what_a_history_receives_is_the_sum_of_its_replys_rows(void **state)
{
    struct fixture *f = *state;
    const float weight = 1.0f / (float)(2 * model_shape(f->model)->heads); /* of two layers */
    struct reply want[ROWS], saw[ROWS];
    struct config config = f->config;
    config.history.prune = HISTORY_PRUNE_MASS;
    int64_t stride, at = 0;
    for (int r = 0; r < ROWS; r += 5) f->rows[r].limit = 3; /* rollout.interrupt cuts it there */
    generate(f, f->generator, &config, 8, want);
    check_varied(want);
    score(f, f->generator, &config, ROWS, want, saw);
    for (int64_t r = 0; r < ROWS; r++) at += want[r].count;
    const float *captured = model_run_capture(f->generator->run, &stride);
    float *rows = calloc((size_t)(at * stride), sizeof *rows);
    f->q->op->download(f->q, rows, captured, (size_t)(at * stride) * sizeof *rows);
    CHECK(f->q->op->synchronize(f->q));
    at = 0;
    for (int r = 0; r < ROWS; r++) {
        const int64_t keys = f->prompts[f->rows[r].prompt].count;
        float sum[24] = {0};
        for (int64_t t = 0; t < want[r].count; t++, at++)
            for (int64_t j = 0; j < keys; j++) {
                const float share = rows[at * stride + j] * weight;
                sum[j] += share;
            }
        check_bits(want[r].received, sum, keys, "received", r);
        assert_null(saw[r].received);
    }
    free(rows);
    replies_free(saw);
    const bool cuda = f->q->op->graph_begin;
    for (int b = 0; b < (cuda ? 2 : 5); b++) {
        generate(f, f->generator, &config, cuda ? batches_cuda[b] : batches[b], saw);
        for (int r = 0; r < ROWS; r++)
            check_bits(saw[r].received, want[r].received, f->prompts[f->rows[r].prompt].count,
                       "received", r);
        replies_free(saw);
    }
    replies_free(want);
    for (int r = 0; r < ROWS; r += 5) f->rows[r].limit = 0;
    generate(f, f->generator, &f->config, 8, saw);
    assert_null(saw[0].received);
    replies_free(saw);
}

/* The queue's table with a graph_end that refuses the first recording. */
static const struct ops *whole_table;
static int64_t recordings_ended;

static status first_recording_fails(struct queue *q, struct graph **out)
{
    TRY(whole_table->graph_end(q, out));
    if (recordings_ended++ > 0) return NULL;
    whole_table->graph_destroy(q, *out);
    *out = NULL;
    FAIL(STATUS_INTERNAL, "recording calls: refused by the test");
}

static void a_step_that_cannot_be_recorded_costs_its_own_kind_alone(void **state)
{
    struct fixture *f = *state;
    if (!f->q->op->graph_begin) skip();
    struct config config = f->config;
    struct reply want[ROWS], saw[ROWS];
    struct generator *calls, *graphs;
    config.infer.batch = ROWS;
    config.rollout.max_new_tokens = 2 * STEPS;
    CHECK(generator_create(f->model, &statistics_standard, &calls));
    generator_use_graphs(calls, false);
    generate_with(f, calls, &config, ROWS, want);
    CHECK(generator_create(f->model, &statistics_standard, &graphs));
    struct ops table = *f->q->op;
    table.graph_end = first_recording_fails;
    whole_table = f->q->op;
    recordings_ended = 0;
    f->q->op = &table;
    for (int turn = 0; turn < 2; turn++) {
        generate_with(f, graphs, &config, ROWS, saw);
        check_equal(saw, want);
        replies_free(saw);
        assert_int_equal(refused_count(graphs), 1);
        assert_true(graphs->recorded.recordings > 0);
        assert_int_equal(graphs->recorded.recordings, recordings_ended - 1);
    }
    f->q->op = whole_table;
    replies_free(want);
    generator_destroy(graphs);
    generator_destroy(calls);
}

/* Turn by turn by calls and by recorded steps. */
static void two_turns_agree(struct fixture *f, struct generator *calls, struct generator *graphs,
                            const struct config *config, int64_t rows)
{
    struct reply want[ROWS], saw[ROWS];
    generator_use_graphs(calls, false);
    generate_with(f, calls, config, rows, want);
    generator_use_graphs(calls, true);
    for (int turn = 0; turn < 2; turn++) {
        generate_with(f, graphs, config, rows, saw);
        check_equal_rows(saw, want, rows);
        replies_free(saw);
    }
    replies_free(want);
}

/* Histories, rows, steps and turns that outgrow what steps were recorded for; another temperature
 * is another step. */
static void steps_are_recorded_anew_when_limits_grow_or_settings_change(void **state)
{
    struct fixture *f = *state;
    if (!f->q->op->graph_begin) skip();
    struct config config = f->config;
    struct generator *graphs;
    CHECK(generator_create(f->model, &statistics_standard, &graphs));
    config.infer.batch = ROWS;
    for (int64_t rows = 4; rows <= ROWS; rows *= 3)
        for (int warm = 0; warm < 2; warm++) {
            const int64_t layout = graphs->layout;
            config.rollout.temperature = warm ? 1.5 : 1;
            config.rollout.max_new_tokens = rows == ROWS ? STEPS : STEPS - 2;
            two_turns_agree(f, f->generator, graphs, &config, rows);
            assert_true(warm ? graphs->layout == layout : graphs->layout > layout);
        }
    two_turns_agree(f, f->generator, graphs, &config, CANDIDATES);
    struct prompt *prompt = &f->prompts[0];
    const uint8_t turn_of = prompt->turn_of[4];
    const int64_t turns = prompt->turns;
    prompt->turn_of[4] = 7;
    prompt->turns = 8;
    two_turns_agree(f, f->generator, graphs, &config, CANDIDATES);
    prompt->turn_of[4] = turn_of;
    prompt->turns = turns;
    generator_destroy(graphs);
}

/* Scoring more and longer replies moves the arrays that recorded steps write to. */
static void steps_are_recorded_anew_after_scoring_moved_their_arrays(void **state)
{
    struct fixture *f = *state;
    if (!f->q->op->graph_begin) skip();
    struct config config = f->config, longer = f->config;
    struct reply large[ROWS], scored[ROWS];
    struct generator *graphs;
    config.infer.batch = longer.infer.batch = ROWS;
    config.rollout.max_new_tokens = STEPS / 3;
    longer.rollout.max_new_tokens = 2 * STEPS;
    generate(f, f->heads, &longer, ROWS, large);
    CHECK(generator_create(f->model, statistics_of(model_shape(f->model), true), &graphs));
    two_turns_agree(f, f->heads, graphs, &config, CANDIDATES);
    const int64_t layout = graphs->layout, recordings = graphs->recorded.recordings;
    score(f, graphs, &longer, ROWS, large, scored);
    check_equal(scored, large);
    two_turns_agree(f, f->heads, graphs, &config, CANDIDATES);
    assert_true(graphs->layout > layout);
    assert_true(graphs->recorded.recordings > recordings);
    replies_free(large);
    replies_free(scored);
    generator_destroy(graphs);
}

/* Every reply is one token: the end, as soon as it is seen that all have it. */
static void a_batch_whose_rows_all_end_at_once_stops(void **state)
{
    struct fixture *f = *state;
    struct reply first[ROWS], saw[ROWS];
    struct config config = f->config;
    config.rollout.temperature = 0;
    config.infer.batch = ROWS;
    generate_with(f, f->generator, &config, CANDIDATES, first);
    struct t5_shape shape = tiny_shape(true);
    shape.common.end = first[0].tokens[0];
    struct model *model;
    struct generator *generator;
    CHECK(model_create(f->q, &shape.common, false, &model));
    CHECK(model_initialize(model, 7));
    parameters_stir(model_parameters(model), 5);
    CHECK(model_refresh(model));
    CHECK(generator_create(model, &statistics_standard, &generator));
    config.rollout.max_new_tokens = 200;
    for (int turn = 0; turn < 3; turn++) {
        generate_with(f, generator, &config, CANDIDATES, saw);
        for (int r = 0; r < CANDIDATES; r++) {
            assert_int_equal(saw[r].count, 1);
            assert_true(saw[r].ended);
            check_bits(saw[r].logp, first[r].logp, 1, "logp", r);
        }
        replies_free(saw);
        /* Two polls' steps, of which the first is seen after the second. */
        assert_true(model_decoder_steps(generator->decoder) <= 8);
    }
    replies_free(first);
    generator_destroy(generator);
    model_destroy(model);
}

static void more_layers_than_the_decoder_has_are_refused(void **state)
{
    struct fixture *f = *state;
    struct config config = f->config;
    struct reply replies[ROWS];
    config.attention.layers = 4;
    const struct rollout_settings settings = rollout_settings_of(&config);
    status s = generate_replies(f->generator, &settings, RANDOM_SAMPLING, f->prompts, f->rows, ROWS,
                                replies);
    assert_non_null(s);
    assert_int_equal(status_code(s), STATUS_INPUT);
    assert_non_null(strstr(status_message(s), "attention.layers"));
    status_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sampled_replies_are_the_same_in_any_batch_and_when_scored),
        cmocka_unit_test(so_are_those_of_temperature_1_3_cut_and_with_a_mixing_floor),
        cmocka_unit_test(shuffled_rows_are_the_same_in_both_and_other_than_unshuffled),
        cmocka_unit_test(a_frozen_scorer_of_equal_weights_sees_what_the_live_one_does),
        cmocka_unit_test(cut_replies_are_beginnings_and_have_the_bits_of_scoring),
        cmocka_unit_test(an_empty_reply_is_scored_as_empty_between_others),
        cmocka_unit_test(what_a_history_receives_is_the_sum_of_its_replys_rows),
        cmocka_unit_test(recorded_steps_have_the_bits_of_calls_and_are_recorded_once),
        cmocka_unit_test(a_step_that_cannot_be_recorded_costs_its_own_kind_alone),
        cmocka_unit_test(steps_are_recorded_anew_when_limits_grow_or_settings_change),
        cmocka_unit_test(steps_are_recorded_anew_after_scoring_moved_their_arrays),
        cmocka_unit_test(a_batch_whose_rows_all_end_at_once_stops),
        cmocka_unit_test(more_layers_than_the_decoder_has_are_refused),
    };
    return cmocka_run_group_tests(tests, open_fixture, close_fixture);
}
