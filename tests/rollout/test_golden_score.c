/* score and generate against the golden models, T5's and decoder-only ones: what Transformers and
 * the float64 terms of docs/reward.md make of the same lines. */
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
        int64_t count, marks = 0, special_count = 0;
        const json_t *own = json_object_get(lines->line[i], "special");
        int32_t *ids = integers(own, &special_count);
        const struct special_ids special = own ? (struct special_ids){-1, ids, special_count}
                                               : (struct special_ids){shape->pad, &shape->end, 1};
        int32_t *tokens = integers(member(lines->line[i], "history_tokens"), &count);
        const json_t *list = json_object_get(lines->line[i], "salient");
        int32_t *wide = integers(list, &marks);
        uint8_t *salient = calloc((size_t)count + 1, 1);
        assert_non_null(salient);
        for (int64_t j = 0; j < marks; j++) salient[j] = (uint8_t)wide[j];
        CHECK(prompt_from_tokens(tokens, list ? salient : NULL, count, 1, &special, settings,
                                 &prompts[i]));
        rows[i] = (struct reply_row){i, {(uint32_t)i + 1, 1, 0}, 0};
        free(tokens);
        free(wide);
        free(salient);
        free(ids);
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
    struct rollout_settings settings = rollout_settings_of(config);
    CHECK(rollout_settings_fit(&settings, config, model_shape(g->model), NULL));
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
        static const int masses[4] = {STATISTIC_FIRST_MASS, STATISTIC_SPECIAL_MASS,
                                      STATISTIC_HISTORY_MASS, STATISTIC_REPLY_MASS};
        for (int m = 0; m < 4 && model_shape_is_causal(model_shape(g->model)); m++) {
            const char *name = s->table->rows[masses[m]].name;
            check_list(statistics_floats(s, masses[m]), reply->count, member(terms, name),
                       g->folder, setting, i, name);
        }
        const struct reward_settings *reward = &settings.reward;
        double saw[TERM_MAX];
        CHECK(reply_terms(reward, (struct turn_key){i, 1, 0, 0}, &prompts[i], reply, saw));
        for (int64_t t = 0; t < reward->term_count; t++) {
            const char *name = reward_term_name(reward, t);
            /* Repetition reads no model: our own decoder-only fixtures leave it out. */
            if (!strncmp(name, "rep_", 4) && !json_object_get(terms, name)) continue;
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

/* Up to where the two best logits are too near to tell. */
static void clear_replies_match(const struct golden *g, const struct config *base)
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
    config.rollout.max_new_tokens = 12;
    const struct rollout_settings settings = rollout_settings_of(&config);
    inputs_make(g, &in, &settings, prompts, rows, NULL);
    CHECK(generate_replies(g->generator, &settings, RANDOM_SAMPLING, prompts, rows, in.count,
                           replies));
    for (int i = 0; i < in.count; i++) {
        int64_t count, t = 0;
        int32_t *tokens = integers(member(want.line[i], "reply_tokens"), &count);
        const json_t *margin = member(want.line[i], "margin"), *logp = member(want.line[i], "logp");
        for (; t < count && json_number_value(json_array_get(margin, (size_t)t)) >= 0.005; t++) {
            if (t == replies[i].count || replies[i].tokens[t] != tokens[t])
                fail_msg("%s: reply %d, token %lld of %lld is not %d", g->folder, i, (long long)t,
                         (long long)replies[i].count, tokens[t]);
            check_number(replies[i].logp[t], json_number_value(json_array_get(logp, (size_t)t)),
                         g->folder, "greedy", i, "logp", t);
        }
        if (t == count && model_shape_is_end(model_shape(g->model), tokens[count - 1])) {
            assert_int_equal(replies[i].count, count);
            assert_true(replies[i].ended);
        }
        free(tokens);
    }
    inputs_free(in.count, prompts, replies);
    lines_free(&in);
    lines_free(&want);
}

static void window_is_refused(const struct golden *g, const struct config *config)
{
    struct lines in;
    struct prompt prompts[MOST_LINES];
    struct reply_row rows[MOST_LINES];
    struct reply replies[MOST_LINES];
    lines_read(&in, g->folder, "generate.jsonl");
    const struct rollout_settings settings = rollout_settings_of(config);
    inputs_make(g, &in, &settings, prompts, rows, NULL);
    status s = generate_replies(g->generator, &settings, RANDOM_SAMPLING, prompts, rows, in.count,
                                replies);
    assert_non_null(s);
    assert_non_null(strstr(status_message(s), "sliding_window"));
    status_free(s);
    inputs_free(in.count, prompts, replies);
    lines_free(&in);
}

static void causal_matches(const struct golden *g, struct config *config)
{
    if (model_shape_number(model_shape(g->model), "window") > 0) {
        window_is_refused(g, config);
        return;
    }
    static const struct {
        const char *name;
        int64_t layers;
        bool exclude_first;
    } views[4] = {{"layers1", 1, true},
                  {"layers2", 2, true},
                  {"layers1_with_first", 1, false},
                  {"layers2_with_first", 2, false}};
    struct lines want;
    int found = 0;
    clear_replies_match(g, config);
    lines_read(&want, g->folder, "score.expected.jsonl");
    for (int v = 0; v < 4; v++) {
        if (!json_object_get(want.line[0], views[v].name)) continue;
        config->attention.layers = views[v].layers;
        config->attention.exclude_first = views[v].exclude_first;
        scores_match(g, views[v].name, config);
        found++;
    }
    lines_free(&want);
    assert_true(found >= 2);
}

static void t5_matches(const struct golden *g, struct config *config)
{
    scores_match(g, "layers1", config);
    greedy_replies_match(g, config);
    if (model_shape(g->model)->layers >= 2) {
        config->attention.layers = 2;
        scores_match(g, "layers2", config);
        config->attention.layers = 1;
    }
    config->attention.exclude_special = false;
    scores_match(g, "layers1_all_tokens", config);
    config->attention.exclude_special = true;
    config->floor.form = FLOOR_VALUE;
    config->floor.delta0 = 1.5;
    scores_match(g, "layers1_floor1.5", config);
}

static void folder_matches(const char *folder)
{
    struct golden g = {.folder = folder, .q = queue_new(2)};
    char path[1024];
    struct model_shape *shape;
    struct config config;
    snprintf(path, sizeof path, "%s/model", folder);
    CHECK(model_folder_shape(path, &shape));
    CHECK(model_create(g.q, shape, false, &g.model));
    CHECK(model_folder_load(path, g.model));
    CHECK(model_refresh(g.model));
    CHECK(generator_create(g.model, statistics_of(shape, false), &g.generator));
    config_defaults(&config);
    config.rollout.temperature = 1;
    config.infer.batch = 3;
    config.floor.form = FLOOR_NONE;
    if (model_shape_is_causal(shape))
        causal_matches(&g, &config);
    else
        t5_matches(&g, &config);
    free(shape);
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
    assert_int_equal(folders_match(REGARD_SOURCE "/tests/golden/causal"), 3);
}

static void shared_golden_folders_score_and_generate_as_transformers_does(void **state)
{
    (void)state;
    if (folders_match(REGARD_SOURCE "/../shared/golden") +
        folders_match(REGARD_SOURCE "/../shared/golden-causal"))
        return;
    print_message("no ../shared/golden and no ../shared/golden-causal here\n");
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
