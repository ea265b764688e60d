/* attention.speakers: masses of users with names are turns' masses where each turn is one user's,
 * the same sampled and scored; coverage by hand. */
#include "src/base/config.h"
#include "src/rollout/generate.h"
#include "src/rollout/speakers.h"
#include "tests/rollout/reply_checks.h"

enum { PROMPTS = 3, CANDIDATES = 3, ROWS = PROMPTS * CANDIDATES, LENGTH = 15, STEPS = 8 };

struct fixture {
    struct queue *q;
    struct model *model;
    struct generator *generator;
    struct config config;
    struct prompt prompts[PROMPTS];
    struct reply_row rows[ROWS];
};

/* Three turns of five tokens by users 1, 2 and 1; every third token is salient. */
static int open_fixture(void **state)
{
    struct fixture *f = *state = calloc(1, sizeof *f);
    static char *const names[] = {"Ana", "Bo", NULL};
    const struct special_ids special = {0, (const int32_t[]){1}, 1};
    assert_non_null(f);
    f->q = queue_new(2);
    f->model = tiny_model(f->q, true);
    config_defaults(&f->config);
    CHECK(config_set(&f->config, "attention.speakers=true"));
    f->config.rollout.temperature = 1;
    f->config.rollout.max_new_tokens = STEPS;
    const struct rollout_settings settings = rollout_settings_of(&f->config);
    CHECK(generator_create(f->model,
                           statistics_of(model_shape(f->model), rollout_statistics(&settings)),
                           &f->generator));
    for (int p = 0; p < PROMPTS; p++) {
        int32_t tokens[LENGTH];
        uint8_t salient[LENGTH], speaker[LENGTH];
        for (int i = 0; i < LENGTH; i++) {
            tokens[i] = 2 + (int32_t)(uniform_at((uint32_t)p, (uint32_t)i) * 21);
            salient[i] = i % 3 == 1;
            speaker[i] = i / 5 == 1 ? 2 : 1;
        }
        struct prompt *prompt = &f->prompts[p];
        CHECK(prompt_from_tokens(tokens, salient, LENGTH, 3, &special, &settings, prompt));
        prompt_name(prompt, speaker, names);
        for (int i = 0; i < LENGTH; i++) prompt->turn_of[i] = (uint8_t)(i / 5);
        prompt->turns = 3;
    }
    for (int r = 0; r < ROWS; r++)
        f->rows[r] = (struct reply_row){
            r / CANDIDATES, {(uint32_t)(r / CANDIDATES), 1, (uint32_t)(r % CANDIDATES)}, 0};
    return 0;
}

static int close_fixture(void **state)
{
    struct fixture *f = *state;
    for (int p = 0; p < PROMPTS; p++) prompt_free(&f->prompts[p]);
    generator_destroy(f->generator);
    model_destroy(f->model);
    f->q->op->destroy(f->q);
    free(f);
    return 0;
}

/* Mean over a reply's tokens of a statistic's numbers, `width` a token, of which `from`. */
static double mean_of(const struct reply *reply, int statistic, int width, int from)
{
    double sum = 0;
    for (int64_t t = 0; t < reply->count; t++)
        sum += (double)statistics_floats(&reply->statistics, statistic)[t * width + from];
    return sum / (double)reply->count;
}

static void close_to(double saw, double want, const char *what, int row)
{
    if (!(fabs(saw - want) < 1e-6)) fail_msg("row %d: %s is %.9g, not %.9g", row, what, saw, want);
}

static void check_masses(const struct fixture *f, const struct reply *reply, int row)
{
    const struct prompt *prompt = &f->prompts[f->rows[row].prompt];
    const struct speaker_history history = {prompt->speaker, prompt->salient, prompt->turn_of,
                                            prompt->count, prompt->visible_count};
    struct speaker_attention read;
    double mass[2], coverage[2];
    assert_true(speakers_read(&reply->statistics, COVERAGE_PAPER, &history, &read));
    assert_int_equal(read.count, 2);
    assert_int_equal(read.asking, 0); /* the third turn is the first user's */
    close_to(read.mass[0],
             mean_of(reply, STATISTIC_TURN_MASS, 3, 0) + mean_of(reply, STATISTIC_TURN_MASS, 3, 2),
             "mass of the first", row);
    close_to(read.mass[1], mean_of(reply, STATISTIC_TURN_MASS, 3, 1), "mass of the second", row);
    close_to(read.salient_mass[0] + read.salient_mass[1],
             mean_of(reply, STATISTIC_SALIENT_MASS, 1, 0), "salient mass", row);
    close_to(read.coverage[1], read.salient_mass[1] / read.salient[1], "coverage", row);
    assert_true(speakers_part(&read, mass, coverage));
    assert_true(mass[0] == read.mass[0] && mass[1] == read.mass[1]);
    assert_true(coverage[0] == read.coverage[0]);
    close_to(coverage[1], read.coverage[1], "coverage of the others", row);
}

static void masses_of_users_are_those_of_their_turns(void **state)
{
    struct fixture *f = *state;
    const struct rollout_settings settings = rollout_settings_of(&f->config);
    struct reply want[ROWS], saw[ROWS];
    struct given_reply given[ROWS];
    CHECK(generate_replies(f->generator, &settings, RANDOM_SAMPLING, f->prompts, f->rows, ROWS,
                           want));
    for (int r = 0; r < ROWS; r++) {
        check_masses(f, &want[r], r);
        given[r] = (struct given_reply){want[r].tokens, want[r].count, want[r].ended, NULL};
    }
    struct rollout_settings other = settings;
    other.batch = 2;
    CHECK(score_replies(f->generator, &other, f->prompts, f->rows, ROWS, given, saw));
    check_equal_rows(saw, want, ROWS);
    for (int r = 0; r < ROWS; r++) {
        reply_free(&want[r]);
        reply_free(&saw[r]);
    }
}

/* Who does not say anything salient has no coverage; forms as the term has them. */
static void coverage_of_a_user_is_of_its_own_salient_words(void **state)
{
    (void)state;
    struct speaker_attention all = {.count = 3,
                                    .asking = 1,
                                    .mass = {0.2, 0.3, 0.1},
                                    .salient_mass = {0.12, 0.06, 0.03},
                                    .salient = {2, 0, 3},
                                    .coverage = {0.06, 0, 0.01},
                                    .visible = 20};
    double mass[2], coverage[2];
    assert_true(speakers_part(&all, mass, coverage));
    close_to(mass[1], 0.3, "others' mass", 0);
    close_to(coverage[0], 0, "coverage of nothing", 0);
    close_to(coverage[1], 0.15 / 5, "others' coverage", 0);
    all.coverage_form = COVERAGE_LIFT;
    assert_true(speakers_part(&all, mass, coverage));
    close_to(coverage[1], 0.15 / 5 * 20, "others' lift", 0);
    all.asking = -1;
    assert_false(speakers_part(&all, mass, coverage));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(masses_of_users_are_those_of_their_turns),
        cmocka_unit_test(coverage_of_a_user_is_of_its_own_salient_words),
    };
    return cmocka_run_group_tests(tests, open_fixture, close_fixture);
}
