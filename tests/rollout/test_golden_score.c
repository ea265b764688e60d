/* score and generate against the golden models: what Transformers and the float64 terms of
 * docs/reward.md make of the same lines. */
#include <dirent.h>

#include "src/base/config.h"
#include "src/base/file.h"
#include "src/base/json.h"
#include "src/model/folder.h"
#include "src/reward/terms.h"
#include "src/rollout/generate.h"
#include "tests/model/model_test.h"

enum { MOST_LINES = 16 };
/* The for log-probabilities.  Entropies, masses and their means are sums over
 * at most 190 weights that are off by about 1e-6: the same bound holds for them. */
static const double tolerance = 1e-4;

struct lines {
    json_t *line[MOST_LINES];
    int count;
};

static void lines_read(struct lines *lines, const char *folder, const char *name)
{
    char path[1024], *text, *line, *rest;
    size_t size;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    CHECK(file_read(path, &text, &size));
    lines->count = 0;
    for (line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        assert_true(lines->count < MOST_LINES);
        CHECK(json_parse(line, strlen(line), path, &lines->line[lines->count++]));
    }
    assert_true(lines->count > 0);
    free(text);
}

static void lines_free(struct lines *lines)
{
    for (int i = 0; i < lines->count; i++) json_decref(lines->line[i]);
}

static int32_t *integers(const json_t *list, int64_t *count)
{
    *count = (int64_t)json_array_size(list);
    int32_t *out = malloc((size_t)*count * sizeof *out + 4);
    assert_non_null(out);
    for (int64_t i = 0; i < *count; i++)
        out[i] = (int32_t)json_integer_value(json_array_get(list, (size_t)i));
    return out;
}

static const json_t *member(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    if (!value) fail_msg("no \"%s\"", key);
    return value;
}

static void check_number(double saw, double want, const char *folder, const char *setting, int line,
                         const char *what, int64_t at)
{
    if (!(fabs(saw - want) <= tolerance))
        fail_msg("%s, %s, line %d: %s[%lld] is %.8g, not %.8g", folder, setting, line, what,
                 (long long)at, saw, want);
}

static void check_list(const float *saw, int64_t count, const json_t *want, const char *folder,
                       const char *setting, int line, const char *what)
{
    if ((int64_t)json_array_size(want) != count)
        fail_msg("%s, %s, line %d: %lld of %s, not %zu", folder, setting, line, (long long)count,
                 what, json_array_size(want));
    for (int64_t i = 0; i < count; i++)
        check_number((double)saw[i], json_number_value(json_array_get(want, (size_t)i)), folder,
                     setting, line, what, i);
}

struct golden {
    const char *folder;
    struct queue *q;
    struct model *model;
    struct generator *generator;
};

/* The lines' histories as prompts and, with replies, their given tokens. */
static void inputs_make(const struct golden *g, const struct lines *lines,
                        const struct rollout_settings *settings, struct prompt *prompts,
                        struct reply_row *rows, struct given_reply *given)
{
    const struct model_shape *shape = model_shape(g->model);
    for (int i = 0; i < lines->count; i++) {
        int64_t count, marks = 0;
        int32_t *tokens = integers(member(lines->line[i], "history_tokens"), &count);
        const json_t *list = json_object_get(lines->line[i], "salient");
        int32_t *wide = integers(list, &marks);
        uint8_t *salient = calloc((size_t)count + 1, 1);
        assert_non_null(salient);
        for (int64_t j = 0; j < marks; j++) salient[j] = (uint8_t)wide[j];
        CHECK(prompt_from_tokens(tokens, list ? salient : NULL, count, 1, shape->pad, shape->end,
                                 settings, &prompts[i]));
        rows[i] = (struct reply_row){i, {(uint32_t)i + 1, 1, 0}};
        free(tokens);
        free(wide);
        free(salient);
        if (!given) continue;
        tokens = integers(member(lines->line[i], "reply_tokens"), &count);
        given[i] = (struct given_reply){.tokens = tokens, .count = count};
    }
}

static void inputs_free(int count, struct prompt *prompts, struct reply *replies)
{
    for (int i = 0; i < count; i++) {
        prompt_free(&prompts[i]);
        reply_free(&replies[i]);
    }
}

/* One setting of score.expected.jsonl. */
static void scores_match(const struct golden *g, const char *setting, const struct config *config)
{
    struct lines in, want;
    struct prompt prompts[MOST_LINES];
    struct reply_row rows[MOST_LINES];
    struct reply replies[MOST_LINES];
    struct given_reply given[MOST_LINES];
    lines_read(&in, g->folder, "score.jsonl");
    lines_read(&want, g->folder, "score.expected.jsonl");
    assert_int_equal(in.count, want.count);
    const struct rollout_settings settings = rollout_settings_of(config);
    inputs_make(g, &in, &settings, prompts, rows, given);
    CHECK(score_replies(g->generator, &settings, prompts, rows, in.count, given, replies));
    for (int i = 0; i < in.count; i++) {
        const json_t *line = want.line[i], *terms = member(line, setting);
        const struct reply *reply = &replies[i];
        check_list(reply->logp, reply->count, member(line, "logp"), g->folder, setting, i, "logp");
        const struct statistics *s = &reply->statistics;
        check_list(statistics_floats(s, STATISTIC_ENTROPY), reply->count, member(terms, "entropy"),
                   g->folder, setting, i, "entropy");
        check_list(statistics_floats(s, STATISTIC_SALIENT_MASS), reply->count,
                   member(terms, "salient_mass"), g->folder, setting, i, "salient_mass");
        const struct reward_settings *reward = &settings.reward;
        double saw[TERM_MAX];
        CHECK(reply_terms(reward, (struct turn_key){i, 1, 0, 0}, &prompts[i], reply, saw));
        for (int64_t t = 0; t < reward->term_count; t++) {
            const char *name = reward_term_name(reward, t);
            check_number(saw[t], json_number_value(member(terms, name)), g->folder, setting, i,
                         name, 0);
        }
    }
    inputs_free(in.count, prompts, replies);
    for (int i = 0; i < in.count; i++) free((void *)given[i].tokens);
    lines_free(&in);
    lines_free(&want);
}

static void greedy_replies_match(const struct golden *g, const struct config *base)
{
    struct config config = *base;
    struct lines in, want;
    struct prompt prompts[MOST_LINES];
    struct reply_row rows[MOST_LINES];
    struct reply replies[MOST_LINES];
    lines_read(&in, g->folder, "generate.jsonl");
    lines_read(&want, g->folder, "generate.expected.jsonl");
    assert_int_equal(in.count, want.count);
    config.rollout.temperature = 0;
    config.rollout.max_new_tokens = 24;
    const struct rollout_settings settings = rollout_settings_of(&config);
    inputs_make(g, &in, &settings, prompts, rows, NULL);
    CHECK(generate_replies(g->generator, &settings, RANDOM_SAMPLING, prompts, rows, in.count,
                           replies));
    for (int i = 0; i < in.count; i++) {
        int64_t count;
        int32_t *tokens = integers(member(want.line[i], "reply_tokens"), &count);
        if (replies[i].count != count)
            fail_msg("%s: reply %d has %lld tokens, not %lld", g->folder, i,
                     (long long)replies[i].count, (long long)count);
        for (int64_t t = 0; t < count; t++)
            if (replies[i].tokens[t] != tokens[t])
                fail_msg("%s: reply %d, token %lld is %d, not %d", g->folder, i, (long long)t,
                         replies[i].tokens[t], tokens[t]);
        assert_int_equal(replies[i].ended, tokens[count - 1] == model_shape(g->model)->end);
        check_list(replies[i].logp, count, member(want.line[i], "logp"), g->folder, "greedy", i,
                   "logp");
        free(tokens);
    }
    inputs_free(in.count, prompts, replies);
    lines_free(&in);
    lines_free(&want);
}

static void folder_matches(const char *folder)
{
    struct golden g = {.folder = folder, .q = queue_new(2)};
    char path[1024];
    struct t5_shape shape;
    struct config config;
    snprintf(path, sizeof path, "%s/model", folder);
    CHECK(t5_folder_shape(path, &shape));
    CHECK(model_create(g.q, &shape.common, false, &g.model));
    CHECK(model_folder_load(path, g.model));
    CHECK(model_refresh(g.model));
    CHECK(generator_create(g.model, &statistics_standard, &g.generator));
    config_defaults(&config);
    config.rollout.temperature = 1;
    config.infer.batch = 3;
    config.floor.form = FLOOR_NONE;
    scores_match(&g, "layers1", &config);
    greedy_replies_match(&g, &config);
    if (shape.common.layers >= 2) {
        config.attention.layers = 2;
        scores_match(&g, "layers2", &config);
        config.attention.layers = 1;
    }
    config.attention.exclude_special = false;
    scores_match(&g, "layers1_all_tokens", &config);
    config.attention.exclude_special = true;
    config.floor.form = FLOOR_VALUE;
    config.floor.delta0 = 1.5;
    scores_match(&g, "layers1_floor1.5", &config);
    generator_destroy(g.generator);
    model_destroy(g.model);
    g.q->op->destroy(g.q);
    print_message("%s agrees\n", folder);
}

static int folders_match(const char *root)
{
    int found = 0;
    DIR *directory = opendir(root);
    if (!directory) return 0;
    struct dirent *entry;
    while ((entry = readdir(directory))) {
        char folder[700], path[800];
        if (entry->d_name[0] == '.') continue;
        snprintf(folder, sizeof folder, "%s/%s", root, entry->d_name);
        snprintf(path, sizeof path, "%s/score.expected.jsonl", folder);
        if (!file_exists(path)) continue;
        folder_matches(folder);
        found++;
    }
    closedir(directory);
    return found;
}

static void our_golden_folders_score_and_generate_as_transformers_does(void **state)
{
    (void)state;
    /* Tied and untied, ReLU and gated, bytes, bf16. */
    assert_int_equal(folders_match(REGARD_SOURCE "/tests/golden"), 4);
}

static void shared_golden_folders_score_and_generate_as_transformers_does(void **state)
{
    (void)state;
    if (folders_match(REGARD_SOURCE "/../shared/golden")) return;
    print_message("no ../shared/golden here\n");
    skip();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(our_golden_folders_score_and_generate_as_transformers_does),
        cmocka_unit_test(shared_golden_folders_score_and_generate_as_transformers_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
