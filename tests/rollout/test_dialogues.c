/* Whole dialogues on the built-in corpus with ByT5's bytes, of a T5 and, in a chat format, of a
 * decoder-only model: what a batch holds does not depend on how its ids are split over calls, and
 * turns, choices and ends are marked as they went. */
#include "src/base/config.h"
#include "src/base/cut_turns.h"
#include "src/base/file.h"
#include "src/reward/returns.h"
#include "src/rollout/dialogues.h"
#include "src/rollout/experience_tokens.h"
#include "src/rollout/generator.h"
#include "src/rollout/language.h"
#include "tests/model/model_test.h"

enum { DIALOGUES = 5, CANDIDATES = 3, TURNS = 3 };

struct fixture {
    struct queue *q;
    struct model *model;
    struct generator *generator;
    struct dataset *data;
    struct language *language;
    struct config config;
    struct rollout_settings settings; /* of the last rollout: experience points to its terms */
};

static void model_make(struct fixture *f, const struct model_shape *shape)
{
    CHECK(model_create(f->q, shape, false, &f->model));
    CHECK(model_initialize(f->model, 3));
    parameters_stir(model_parameters(f->model), 5);
    CHECK(model_refresh(f->model));
    CHECK(generator_create(f->model, statistics_of(shape, false), &f->generator));
}

static void causal_model_make(struct fixture *f)
{
    static const struct model_setting settings[] = {
        {"vocabulary", 261}, {"d_model", 24}, {"d_kv", 8},       {"d_ff", 40}, {"heads", 4},
        {"kv_heads", 2},     {"layers", 2},   {"context", 2048}, {"pad", 0},   {"end", 260}};
    struct model_shape *shape;
    CHECK(model_shape_from_settings("llama", settings, sizeof settings / sizeof *settings, &shape));
    model_make(f, shape);
    free(shape);
}

/* Bytes and the two tokens of ChatML. */
static void chat_folder_write(char folder[])
{
    static const char text[] =
        "{\"tokenizer_class\":\"ByT5Tokenizer\",\"extra_ids\":0,\"added_tokens_decoder\":{"
        "\"259\":{\"content\":\"<|im_start|>\",\"special\":true},"
        "\"260\":{\"content\":\"<|im_end|>\",\"special\":true}}}";
    char path[64];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/tokenizer_config.json", folder);
    CHECK(file_write(path, text, strlen(text)));
}

static struct fixture *fixture_new(void)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    f->q = queue_new(2);
    CHECK(dataset_read("synthetic:5:4", DATASET_TRAIN, &f->data));
    config_defaults(&f->config);
    f->config.rollout.candidates = CANDIDATES;
    f->config.rollout.turns = TURNS;
    f->config.rollout.max_new_tokens = 8;
    f->config.rollout.temperature = 1;
    return f;
}

static int open_t5(void **state)
{
    struct fixture *f = *state = fixture_new();
    struct t5_shape shape = tiny_shape(true);
    shape.common.vocabulary = 384;
    model_make(f, &shape.common);
    CHECK(config_set(&f->config, "tokenizer.path=bytes"));
    const struct language_settings words = language_settings_of(&f->config);
    CHECK(language_open(&words, "", f->data, &f->language));
    return 0;
}

static int open_causal(void **state)
{
    struct fixture *f = *state = fixture_new();
    char folder[] = "/tmp/regard-dialogues-XXXXXX", setting[64];
    causal_model_make(f);
    chat_folder_write(folder);
    snprintf(setting, sizeof setting, "tokenizer.path=%s", folder);
    CHECK(config_set(&f->config, setting));
    CHECK(config_set(&f->config, "model.family=llama"));
    CHECK(config_set(&f->config, "text.chat=chatml"));
    const struct language_settings words = language_settings_of(&f->config);
    CHECK(language_open(&words, "", f->data, &f->language));
    CHECK(directory_remove(folder));
    return 0;
}

static int close_fixture(void **state)
{
    struct fixture *f = *state;
    language_close(f->language);
    dataset_free(f->data);
    generator_destroy(f->generator);
    model_destroy(f->model);
    f->q->op->destroy(f->q);
    free(f);
    return 0;
}

static struct rollout rollout_of(struct fixture *f, const struct config *config)
{
    f->settings = rollout_settings_of(config);
    CHECK(rollout_settings_fit(&f->settings, config, model_shape(f->model), NULL));
    return (struct rollout){.settings = &f->settings,
                            .policy = f->generator,
                            .history = &f->language->history,
                            .data = f->data};
}

/* Ids past the data's four dialogues come round in another order. */
static const int64_t ids[DIALOGUES] = {2, 3, 4, 6, 9};

static void dialogues_run(struct fixture *f, const struct config *config, const int *cuts,
                          struct experience **out)
{
    struct rollout rollout = rollout_of(f, config);
    for (int at = 0, i = 0; at < DIALOGUES; at += cuts[i++])
        CHECK(rollout_dialogues(&rollout, ids + at, cuts[i], 17, out + at));
}

static void experiences_free(struct experience **list)
{
    for (int d = 0; d < DIALOGUES; d++) experience_destroy(list[d]);
}

static void check_same_bytes(struct experience *saw, struct experience *want)
{
    void *a, *b;
    size_t a_size, b_size;
    CHECK(experience_pack(saw, &a, &a_size));
    CHECK(experience_pack(want, &b, &b_size));
    if (a_size != b_size || memcmp(a, b, a_size) != 0) {
        for (int64_t k = 0; k < saw->turn_count && k < want->turn_count; k++)
            print_error("turn %lld: turns %lld, %lld; %d, %d tokens; reward %.9g, %.9g\n",
                        (long long)k, (long long)saw->turns[k].statistics.sizes.turns,
                        (long long)want->turns[k].statistics.sizes.turns,
                        saw->turns[k].reply_length, want->turns[k].reply_length,
                        saw->turns[k].reward, want->turns[k].reward);
        fail_msg("dialogue %lld: %zu bytes are not the %zu of another split",
                 (long long)want->dialogue, a_size, b_size);
    }
    free(a);
    free(b);
}

static void any_split_gives_the_same(struct fixture *f, const char *user, const char *going)
{
    static const int whole[1] = {5}, single[5] = {1, 1, 1, 1, 1}, uneven[2] = {2, 3};
    static const int *const splits[2] = {single, uneven};
    static const int64_t batches[2] = {7, 2};
    struct config config = f->config;
    char text[64];
    snprintf(text, sizeof text, "rollout.user=%s", user);
    CHECK(config_set(&config, text));
    snprintf(text, sizeof text, "rollout.continue=%s", going);
    CHECK(config_set(&config, text));
    struct experience *want[DIALOGUES], *saw[DIALOGUES];
    dialogues_run(f, &config, whole, want);
    for (int s = 0; s < 2; s++) {
        config.infer.batch = batches[s];
        dialogues_run(f, &config, splits[s], saw);
        for (int d = 0; d < DIALOGUES; d++) check_same_bytes(saw[d], want[d]);
        experiences_free(saw);
    }
    experiences_free(want);
}

static void any_split_of_ids_gives_the_same_replayed_dialogues(void **state)
{
    any_split_gives_the_same(*state, "replay", "each");
    any_split_gives_the_same(*state, "replay", "best");
}

static void any_split_of_ids_gives_the_same_simulated_dialogues(void **state)
{
    any_split_gives_the_same(*state, "rule", "each");
    any_split_gives_the_same(*state, "rule", "best");
}

static const struct experience_turn *turn_find(const struct experience *e, int turn, int candidate)
{
    for (int64_t k = 0; k < e->turn_count; k++)
        if (e->turns[k].turn == turn && e->turns[k].candidate == candidate) return &e->turns[k];
    return NULL;
}

/* Turns are in order, their history begins with the one before, then what was said. */
static void check_follows(const struct experience_turn *next, const struct experience_turn *before)
{
    const int32_t kept = before->history_length - 1; /* less its end token */
    assert_true(next->history_length > kept);
    assert_memory_equal(next->history_tokens, before->history_tokens,
                        (size_t)kept * sizeof(int32_t));
    const int32_t said = before->reply_length - before->ended;
    const int32_t marker = (int32_t)strlen("assistant: "); /* a byte a token */
    assert_true(next->history_length > kept + marker + said);
    assert_memory_equal(next->history_tokens + kept + marker, before->reply_tokens,
                        (size_t)said * sizeof(int32_t));
}

static void each_candidate_goes_its_own_way(void **state)
{
    struct fixture *f = *state;
    static const int whole[1] = {DIALOGUES};
    struct experience *list[DIALOGUES];
    dialogues_run(f, &f->config, whole, list);
    for (int d = 0; d < DIALOGUES; d++) {
        const struct experience *e = list[d];
        const int64_t place = prompt_order(f->config.seed, ids[d] / 4, ids[d] % 4, 4);
        assert_int_equal(e->dialogue, ids[d]);
        assert_int_equal(e->prompt, place);
        assert_int_equal(e->weight_version, 17);
        /* Synthetic dialogues have three turns or more: all are replayed. */
        assert_int_equal(e->turn_count, TURNS * CANDIDATES);
        int distinct = 0;
        for (int t = 0; t < TURNS; t++)
            for (int k = 0; k < CANDIDATES; k++) {
                const struct experience_turn *turn = &e->turns[t * CANDIDATES + k];
                assert_int_equal(turn->turn, t);
                assert_int_equal(turn->candidate, k);
                assert_true(turn->chosen);
                assert_true(turn->reply_length >= 1 && turn->reply_length <= 8);
                assert_int_equal(turn->ended, turn->reply_tokens[turn->reply_length - 1] == 1);
                if (t) check_follows(turn, turn_find(e, t - 1, k));
                distinct += k && turn->reply_tokens[0] != e->turns[t * CANDIDATES].reply_tokens[0];
            }
        assert_true(distinct > 0);
    }
    experiences_free(list);
}

static void best_goes_on_with_the_highest_reward(void **state)
{
    struct fixture *f = *state;
    static const int whole[1] = {DIALOGUES};
    struct config config = f->config;
    config.rollout.continue_with = CONTINUE_BEST;
    struct experience *list[DIALOGUES];
    int later = 0;
    dialogues_run(f, &config, whole, list);
    for (int d = 0; d < DIALOGUES; d++) {
        assert_int_equal(list[d]->turn_count, TURNS * CANDIDATES);
        const struct experience_turn *chosen = NULL;
        for (int t = 0; t < TURNS; t++) {
            const struct experience_turn *before = chosen;
            int best = 0;
            for (int k = 0; k < CANDIDATES; k++) {
                const struct experience_turn *turn = turn_find(list[d], t, k);
                assert_non_null(turn);
                /* Empty statistics: divisors 1, the raw reward decides. */
                if (turn->reward > turn_find(list[d], t, best)->reward) best = k;
                if (before) check_follows(turn, before);
            }
            for (int k = 0; k < CANDIDATES; k++)
                assert_int_equal(turn_find(list[d], t, k)->chosen, k == best);
            chosen = turn_find(list[d], t, best);
            later += best > 0;
        }
    }
    assert_true(later > 0); /* not always the first */
    experiences_free(list);
}

/* Every first reply is what it is without interruptions, up to its draw; the user goes on. */
static void interrupted_replies_stand_in_the_history_as_they_are(void **state)
{
    struct fixture *f = *state;
    static const int whole[1] = {DIALOGUES};
    struct config config = f->config;
    struct experience *plain[DIALOGUES], *list[DIALOGUES];
    int64_t cut = 0;
    dialogues_run(f, &config, whole, plain);
    config.rollout.interrupt = 0.7;
    dialogues_run(f, &config, whole, list);
    for (int d = 0; d < DIALOGUES; d++) {
        const struct experience *e = list[d];
        assert_int_equal(e->turn_count, TURNS * CANDIDATES);
        CHECK(experience_verify(e, "rank 1"));
        for (int64_t i = 0; i < e->turn_count; i++) {
            struct experience_turn *turn = &list[d]->turns[i];
            const struct experience_turn *other = &plain[d]->turns[i];
            const struct turn_key key = {e->dialogue, turn->turn + 1, turn->candidate, 0};
            const int64_t limit = interruption_limit(&e->format.interruption, &key);
            if (turn->interrupted)
                assert_true(!turn->ended && turn->reply_length == limit && limit < 8);
            if (turn->turn)
                check_follows(turn, turn_find(e, turn->turn - 1, turn->candidate));
            else {
                assert_true(turn->reply_length <= other->reply_length);
                assert_memory_equal(turn->reply_tokens, other->reply_tokens,
                                    (size_t)turn->reply_length * sizeof(int32_t));
                if (!turn->interrupted) assert_int_equal(turn->reply_length, other->reply_length);
            }
            cut += turn->interrupted;
            turn->interrupted ^= true; /* a lie */
            status s = experience_verify(e, "rank 1");
            assert_non_null(s);
            assert_non_null(strstr(status_message(s), "rollout.interrupt draws"));
            status_free(s);
            turn->interrupted ^= true;
        }
    }
    const int replies = DIALOGUES * TURNS * CANDIDATES;
    assert_true(cut > replies / 2 && cut < replies * 4 / 5);
    experiences_free(plain);
    experiences_free(list);
}

static void any_split_of_ids_gives_the_same_interrupted_dialogues(void **state)
{
    struct fixture *f = *state;
    f->config.rollout.interrupt = 0.5;
    any_split_gives_the_same(f, "replay", "each");
    any_split_gives_the_same(f, "rule", "best");
    f->config.rollout.interrupt = 0;
}

static void a_replay_ends_with_its_dialogue(void **state)
{
    struct fixture *f = *state;
    static const int whole[1] = {DIALOGUES};
    struct config config = f->config;
    config.rollout.turns = 10;
    struct experience *list[DIALOGUES];
    dialogues_run(f, &config, whole, list);
    for (int d = 0; d < DIALOGUES; d++) {
        const int64_t turns = f->data->dialogues[list[d]->prompt].message_count / 2;
        assert_int_equal(list[d]->turn_count, turns * CANDIDATES);
    }
    experiences_free(list);
}

static void a_frozen_scorer_keeps_the_samplers_log_probabilities(void **state)
{
    struct fixture *f = *state;
    static const int whole[1] = {DIALOGUES};
    struct experience *live[DIALOGUES], *frozen[DIALOGUES];
    struct model *other;
    struct rollout rollout = rollout_of(f, &f->config);
    CHECK(model_create(f->q, model_shape(f->model), false, &other));
    CHECK(model_initialize(other, 99));
    parameters_stir(model_parameters(other), 6);
    CHECK(model_refresh(other));
    CHECK(generator_create(other, statistics_of(model_shape(other), false), &rollout.scorer));
    dialogues_run(f, &f->config, whole, live);
    CHECK(rollout_dialogues(&rollout, ids, DIALOGUES, 17, frozen));
    int64_t differ = 0;
    for (int d = 0; d < DIALOGUES; d++) {
        assert_int_equal(frozen[d]->turn_count, live[d]->turn_count);
        for (int64_t k = 0; k < live[d]->turn_count; k++) {
            const struct experience_turn *a = &frozen[d]->turns[k], *b = &live[d]->turns[k];
            assert_int_equal(a->reply_length, b->reply_length);
            assert_memory_equal(a->reply_tokens, b->reply_tokens,
                                (size_t)a->reply_length * sizeof(int32_t));
            check_bits(a->logp, b->logp, a->reply_length, "logp", k);
            assert_true(a->ended == b->ended);
            check_bits(a->token_entropy, b->token_entropy, a->reply_length, "token_entropy", k);
            differ += a->terms[0] != b->terms[0];
        }
    }
    assert_true(differ > 0); /* it was the other model's attention */
    experiences_free(live);
    experiences_free(frozen);
    generator_destroy(rollout.scorer);
    model_destroy(other);
}

static void random_salience_is_one_draw_for_all_candidates_of_a_turn(void **state)
{
    struct fixture *f = *state;
    static const int whole[1] = {DIALOGUES};
    struct config config = f->config;
    struct experience *truth[DIALOGUES], *drawn[DIALOGUES];
    dialogues_run(f, &config, whole, truth);
    config.control = CONTROL_RANDOM_SALIENCE;
    dialogues_run(f, &config, whole, drawn);
    for (int d = 0; d < DIALOGUES; d++) {
        const struct experience_turn *a = truth[d]->turns, *b = drawn[d]->turns;
        assert_int_equal(b->salient_count, a->salient_count);
        assert_true(a->salient_count > 0);
        assert_memory_not_equal(a->salient, b->salient, (size_t)a->history_length);
        for (int k = 1; k < CANDIDATES; k++)
            assert_memory_equal(b[k].salient, b->salient, (size_t)b->history_length);
    }
    experiences_free(truth);
    experiences_free(drawn);
}

static void random_salience_marks_no_slots(void **state)
{
    struct fixture *f = *state;
    static const int whole[1] = {DIALOGUES};
    struct language *language = f->language;
    struct config config = f->config;
    int64_t slots = 0, marks = 0;
    CHECK(config_set(&config, "history.summary=mean"));
    CHECK(config_set(&config, "history.max_tokens=100"));
    config.control = CONTROL_RANDOM_SALIENCE;
    config.rollout.candidates = 1;
    config.rollout.max_new_tokens = 1;
    const struct language_settings words = language_settings_of(&config);
    CHECK(language_open(&words, "", f->data, &f->language));
    for (config.seed = 1; config.seed <= 8; config.seed++) { /* a slot is drawn seldom */
        struct experience *drawn[DIALOGUES];
        dialogues_run(f, &config, whole, drawn);
        for (int d = 0; d < DIALOGUES; d++)
            for (int64_t k = 0; k < drawn[d]->turn_count; k++) {
                const struct experience_turn *turn = &drawn[d]->turns[k];
                struct cut_turns cut;
                cut_turns_read(turn->cuts, turn->cut_count, &cut);
                for (int64_t i = 0; i < cut.slots; i++) assert_int_equal(turn->salient[i], 0);
                slots += cut.slots;
                marks += cut.slots ? turn->salient_count : 0;
            }
        experiences_free(drawn);
    }
    assert_true(slots > 20 && marks > 200);
    language_close(f->language);
    f->language = language;
}

/* Distinct dialogues, all candidates at once: the sampler computes what a dialogue needs. */
static void a_causal_rollout_prefills_what_its_dialogues_need(void **state)
{
    struct fixture *f = *state;
    static const int64_t distinct[4] = {0, 1, 2, 3};
    for (int best = 0; best < 2; best++) {
        struct config config = f->config;
        config.infer.batch = 64;
        config.rollout.continue_with = best ? CONTINUE_BEST : CONTINUE_EACH;
        config.rollout.cache_tokens = 65536;
        struct rollout rollout = rollout_of(f, &config);
        struct experience *list[4];
        struct experience_tokens tokens = {0};
        int64_t replies = 0, cuts = 0;
        CHECK(generator_create(f->model, statistics_of(model_shape(f->model), false),
                               &rollout.policy));
        CHECK(rollout_dialogues(&rollout, distinct, 4, 17, list));
        for (int d = 0; d < 4; d++) {
            experience_tokens_add(list[d], true, &tokens);
            for (int64_t k = 0; k < list[d]->turn_count; k++) {
                replies += list[d]->turns[k].reply_length;
                cuts += list[d]->turns[k].cut_count;
            }
            experience_destroy(list[d]);
        }
        assert_true(cuts > 0);
        assert_int_equal(model_decoder_counts(rollout.policy->decoder).prefilled,
                         tokens.computed - replies);
        assert_true(tokens.computed * 2 < tokens.pairs);
        generator_destroy(rollout.policy);
    }
}

/* What the history's bytes say, special ids left out. */
static char *history_text(const struct fixture *f, const struct experience_turn *turn)
{
    char *text;
    CHECK(tokenizer_decode(f->language->history.tokenizer, turn->history_tokens,
                           turn->history_length, true, &text));
    return text;
}

static void a_rollout_begins_behind_what_is_given(void **state)
{
    struct fixture *f = *state;
    static const int64_t first[1] = {0};
    struct dataset *own = f->data;
    struct config config = f->config;
    struct experience *one;
    config.rollout.turns = 3;
    CHECK(dataset_read("reverse:1:2", DATASET_TRAIN, &f->data));
    struct rollout rollout = rollout_of(f, &config);
    CHECK(rollout_dialogues(&rollout, first, 1, 17, &one));
    const struct dialogue *dialogue = &f->data->dialogues[one->prompt];
    assert_int_equal(one->turn_count, CANDIDATES); /* the data's user asks once */
    for (int k = 0; k < CANDIDATES; k++) {
        const struct experience_turn *turn = &one->turns[k];
        char *text = history_text(f, turn);
        const char *at = text;
        assert_int_equal(turn->turn, 0);
        for (int64_t m = 0; m <= dialogue->given; m++) {
            at = strstr(at, dialogue->messages[m].content);
            if (!at) fail_msg("message %d is not in its place: %s", (int)m, text);
        }
        assert_int_equal(turn->statistics.sizes.turns, 4); /* masses are of all turns */
        free(text);
    }
    experience_destroy(one);
    dataset_free(f->data);
    f->data = own;
}

int main(void)
{
    const struct CMUnitTest causal[] = {
        cmocka_unit_test(a_rollout_begins_behind_what_is_given),
        cmocka_unit_test(any_split_of_ids_gives_the_same_replayed_dialogues),
        cmocka_unit_test(any_split_of_ids_gives_the_same_simulated_dialogues),
        cmocka_unit_test(any_split_of_ids_gives_the_same_interrupted_dialogues),
        cmocka_unit_test(a_frozen_scorer_keeps_the_samplers_log_probabilities),
        cmocka_unit_test(a_causal_rollout_prefills_what_its_dialogues_need),
    };
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_rollout_begins_behind_what_is_given),
        cmocka_unit_test(any_split_of_ids_gives_the_same_replayed_dialogues),
        cmocka_unit_test(any_split_of_ids_gives_the_same_simulated_dialogues),
        cmocka_unit_test(any_split_of_ids_gives_the_same_interrupted_dialogues),
        cmocka_unit_test(each_candidate_goes_its_own_way),
        cmocka_unit_test(best_goes_on_with_the_highest_reward),
        cmocka_unit_test(interrupted_replies_stand_in_the_history_as_they_are),
        cmocka_unit_test(a_replay_ends_with_its_dialogue),
        cmocka_unit_test(a_frozen_scorer_keeps_the_samplers_log_probabilities),
        cmocka_unit_test(random_salience_is_one_draw_for_all_candidates_of_a_turn),
        cmocka_unit_test(random_salience_marks_no_slots),
    };
    const int failed = cmocka_run_group_tests(tests, open_t5, close_fixture);
    return cmocka_run_group_tests(causal, open_causal, close_fixture) + failed;
}
