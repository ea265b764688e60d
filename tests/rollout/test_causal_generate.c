/* Decoder-only models: sampling and scoring agree bit for bit over turns, in any batch, whatever
 * the store of keys and values holds; and what it holds is not computed again. */
#include "src/base/config.h"
#include "src/model/folder.h"
#include "src/rollout/generator.h"
#include "tests/rollout/reply_checks.h"

enum { DIALOGUES = 5, CANDIDATES = 4, TURNS = 3, STEPS = 6, HISTORY_MAX = 60 };
enum { TALKS = DIALOGUES * CANDIDATES, ROWS = TALKS * TURNS };
static const char *const kinds[3] = {"llama", "qwen2", "qwen3"};

struct fixture {
    const char *kind;
    struct queue *q;
    struct model *model;
    struct config config;
};

static void open_model(struct fixture *f, const char *kind, int threads)
{
    char path[1024];
    struct model_shape *shape;
    snprintf(path, sizeof path, "%s/tests/golden/causal/%s/model", REGARD_SOURCE, kind);
    f->kind = kind;
    f->q = queue_new(threads);
    CHECK(model_folder_shape(path, &shape));
    CHECK(model_create(f->q, shape, false, &f->model));
    free(shape);
    CHECK(model_folder_load(path, f->model));
    CHECK(model_refresh(f->model));
    config_defaults(&f->config);
    f->config.seed = 5;
    f->config.rollout.temperature = 1.2;
    f->config.rollout.top_k = 0;
    f->config.rollout.top_p = 1;
    f->config.rollout.max_new_tokens = STEPS;
    f->config.attention.layers = 2;
}

static void close_model(struct fixture *f)
{
    model_destroy(f->model);
    f->q->op->destroy(f->q);
}

/* With every head's statistics; through the shim, which is slow, of one kind of model. */
static struct generator *generator_new(const struct fixture *f)
{
    struct generator *generator;
    const struct model_shape *shape = model_shape(f->model);
    const bool heads = !f->q->op->graph_begin || !strcmp(f->kind, "qwen3");
    CHECK(generator_create(f->model, statistics_of(shape, heads), &generator));
    return generator;
}

/* A conversation's tokens and where they may be cut. */
struct talk {
    int32_t tokens[HISTORY_MAX], cuts[2 * TURNS + 1];
    int64_t count, cut_count;
};

/* How dialogues are run: what is sampled at once, and what is kept of it. */
struct way {
    int64_t batch, cache_tokens;
    bool best;   /* dialogues go on with their second candidate */
    bool forget; /* a generator of its own for every turn */
    bool cut;    /* most replies have a limit */
};

/* What a rollout leaves: prompts of all turns, and the replies to them. */
struct record {
    struct prompt prompts[ROWS];
    struct reply_row rows[ROWS];
    struct reply replies[ROWS];
    int64_t prompt_count, row_count;
    int64_t prefilled[TURNS]; /* tokens */
};

static void talk_begin(struct talk *talk, uint32_t dialogue)
{
    /* Two dialogues begin alike, one with a single token. */
    static const int64_t lengths[DIALOGUES] = {9, 14, 14, 1, 5};
    *talk = (struct talk){.count = lengths[dialogue]};
    for (int64_t i = 0; i < talk->count; i++)
        talk->tokens[i] =
            2 + (int32_t)(uniform_at(dialogue == 2 && i < 11 ? 1 : dialogue, (uint32_t)i) * 34);
    if (dialogue == 1 || dialogue == 2) talk->cuts[talk->cut_count++] = 7;
}

/* The reply, a template's and the user's tokens; cuts as src/model/batch.h has them. */
static void talk_go_on(struct talk *talk, const struct reply *reply, uint32_t seed)
{
    if (talk->count > 1) talk->cuts[talk->cut_count++] = (int32_t)talk->count - 1;
    memcpy(talk->tokens + talk->count, reply->tokens, (size_t)reply->count * sizeof *talk->tokens);
    talk->count += reply->count;
    talk->cuts[talk->cut_count++] = (int32_t)talk->count - 1;
    for (uint32_t i = 0; i < 3 + seed % 3; i++)
        talk->tokens[talk->count++] = 2 + (int32_t)(uniform_at(100 + seed, i) * 34);
}

static void prompt_of(const struct talk *talk, const struct rollout_settings *settings, int turn,
                      struct prompt *out)
{
    uint8_t salient[HISTORY_MAX];
    static const int32_t ids[4] = {0, 1, 2, 3};
    const struct special_ids special = {-1, ids, 4};
    for (int64_t i = 0; i < talk->count; i++) salient[i] = i % 3 == 1;
    CHECK(
        prompt_from_tokens(talk->tokens, salient, talk->count, 1 + turn, &special, settings, out));
    out->cuts = malloc(sizeof talk->cuts);
    assert_non_null(out->cuts);
    memcpy(out->cuts, talk->cuts, sizeof talk->cuts);
    out->cut_count = talk->cut_count;
}

static struct rollout_settings settings_of(const struct fixture *f, int64_t batch)
{
    struct rollout_settings settings = rollout_settings_of(&f->config);
    CHECK(rollout_settings_fit(&settings, &f->config, model_shape(f->model), NULL));
    settings.batch = batch;
    settings.self_certainty = true;
    return settings;
}

/* One turn of all conversations. */
static void turn_run(const struct rollout_settings *settings, struct generator *generator,
                     struct talk *talks, const struct way *way, int turn, struct record *record)
{
    const bool best = way->best;
    const int talk_count = best ? DIALOGUES : TALKS, each = best ? 1 : CANDIDATES;
    const int64_t first = record->row_count, first_prompt = record->prompt_count;
    const int64_t before = model_decoder_counts(generator->decoder).prefilled;
    for (int t = 0; t < talk_count; t++) {
        if (turn > 0 || t % each == 0)
            prompt_of(&talks[t], settings, turn, &record->prompts[record->prompt_count++]);
        for (int k = 0; k < CANDIDATES / each; k++)
            record->rows[record->row_count++] = (struct reply_row){
                (int32_t)(record->prompt_count - 1 - first_prompt),
                {(uint32_t)(t / each), (uint32_t)turn + 1, (uint32_t)(t % each + k)},
                way->cut ? (t + k + turn) % STEPS : 0};
    }
    CHECK(generate_replies(generator, settings, RANDOM_SAMPLING, record->prompts + first_prompt,
                           record->rows + first, record->row_count - first,
                           record->replies + first));
    record->prefilled[turn] = model_decoder_counts(generator->decoder).prefilled - before;
    for (int64_t r = first; r < record->row_count; r++)
        record->rows[r].prompt += (int32_t)first_prompt;
    for (int t = 0; t < talk_count; t++)
        talk_go_on(&talks[t], &record->replies[first + (best ? t * CANDIDATES + 1 : t)],
                   (uint32_t)(turn * TALKS + t));
}

/* All turns; generator NULL: one of its own for every turn. */
static void turns_run(const struct fixture *f, const struct way *way, struct generator *generator,
                      struct record *record)
{
    struct talk talks[TALKS];
    struct rollout_settings settings = settings_of(f, way->batch);
    settings.cache_tokens = way->cache_tokens;
    memset(record, 0, sizeof *record);
    for (int t = 0; t < TALKS; t++)
        talk_begin(&talks[t], (uint32_t)(way->best ? t : t / CANDIDATES) % DIALOGUES);
    for (int turn = 0; turn < TURNS; turn++) {
        struct generator *own = generator ? generator : generator_new(f);
        turn_run(&settings, own, talks, way, turn, record);
        if (!generator) generator_destroy(own);
    }
}

static void dialogues_run(const struct fixture *f, const struct way *way, struct record *record)
{
    struct generator *generator = way->forget ? NULL : generator_new(f);
    turns_run(f, way, generator, record);
    generator_destroy(generator);
}

static void record_free(struct record *record)
{
    for (int64_t p = 0; p < record->prompt_count; p++) prompt_free(&record->prompts[p]);
    for (int64_t r = 0; r < record->row_count; r++) reply_free(&record->replies[r]);
}

static void check_varied(const struct record *record)
{
    int64_t ended = 0, tokens = 0;
    for (int64_t r = 0; r < record->row_count; r++) {
        ended += record->replies[r].ended;
        tokens += record->replies[r].count;
    }
    if (!ended || ended == record->row_count || tokens < 3 * record->row_count)
        fail_msg("%lld of %lld replies ended, %lld tokens", (long long)ended,
                 (long long)record->row_count, (long long)tokens);
}

/* All turns' replies at once, by a batch of so many: what a later turn shares with an earlier one
 * stands in the forest once. */
static void scoring_agrees(const struct fixture *f, const struct record *record, int64_t batch)
{
    const struct rollout_settings settings = settings_of(f, batch);
    struct generator *generator = generator_new(f);
    struct given_reply given[ROWS];
    struct reply saw[ROWS];
    for (int64_t r = 0; r < record->row_count; r++)
        given[r] = (struct given_reply){record->replies[r].tokens, record->replies[r].count,
                                        record->replies[r].ended, NULL};
    CHECK(score_replies(generator, &settings, record->prompts, record->rows, record->row_count,
                        given, saw));
    check_equal_rows(saw, record->replies, record->row_count);
    for (int64_t r = 0; r < record->row_count; r++) reply_free(&saw[r]);
    generator_destroy(generator);
}

static void sampling_agrees(const struct fixture *f, const struct record *want, struct way way)
{
    struct record *saw = calloc(1, sizeof *saw);
    assert_non_null(saw);
    dialogues_run(f, &way, saw);
    assert_int_equal(saw->row_count, want->row_count);
    check_equal_rows(saw->replies, want->replies, want->row_count);
    record_free(saw);
    free(saw);
}

static void every_way_agrees(const char *kind, bool best)
{
    static const int64_t batches[7] = {1, 2, 3, 5, 8, 20, 64};
    struct record *want = calloc(1, sizeof *want);
    assert_non_null(want);
    for (int threads = 1; threads <= 2; threads++) {
        struct fixture f;
        open_model(&f, kind, threads);
        const bool slow = f.q->op->graph_begin; /* through the shim: a cut */
        if (threads == 1) {
            dialogues_run(&f, &(struct way){.batch = 64, .best = best}, want);
            check_varied(want);
        }
        for (int b = slow ? 3 : 0; b < (slow ? 4 : 7); b++) {
            const int64_t batch = batches[b];
            if (!slow) sampling_agrees(&f, want, (struct way){.batch = batch, .best = best});
            sampling_agrees(&f, want,
                            (struct way){.batch = batch, .best = best, .cache_tokens = 1});
            scoring_agrees(&f, want, batch);
        }
        if (!slow)
            sampling_agrees(&f, want, (struct way){.batch = 8, .best = best, .forget = true});
        close_model(&f);
        if (slow) break;
    }
    record_free(want);
    free(want);
}

static void turns_that_go_on_with_each_candidate_are_the_same_in_every_way(void **state)
{
    (void)state;
    for (int k = 0; k < 3; k++) every_way_agrees(kinds[k], false);
}

static void turns_that_go_on_with_one_candidate_are_the_same_in_every_way(void **state)
{
    (void)state;
    for (int k = 0; k < 3; k++) every_way_agrees(kinds[k], true);
}

/* What was computed of a reply that was cut serves the next turn, which begins with it. */
static void turns_that_go_on_from_cut_replies_are_the_same_in_every_way(void **state)
{
    (void)state;
    struct fixture f;
    struct record *want = calloc(1, sizeof *want);
    int64_t cut = 0;
    assert_non_null(want);
    open_model(&f, "qwen3", 1);
    const bool slow = f.q->op->graph_begin;
    dialogues_run(&f, &(struct way){.batch = 64, .cut = true}, want);
    for (int64_t r = 0; r < want->row_count; r++) {
        const struct reply *reply = &want->replies[r];
        if (reply->interrupted) assert_int_equal(reply->count, want->rows[r].limit);
        cut += reply->interrupted;
    }
    assert_true(cut > ROWS / 4 && cut < ROWS);
    sampling_agrees(&f, want, (struct way){.batch = 5, .cut = true, .cache_tokens = 4096});
    if (!slow) sampling_agrees(&f, want, (struct way){.batch = 8, .cut = true, .forget = true});
    scoring_agrees(&f, want, 8);
    record_free(want);
    free(want);
    close_model(&f);
}

/* Rows of the first segments of prompt p up to its last token, less what is held already: the
 * segments of `held` prompts and the replies to them. */
static int64_t unique_rows(const struct record *record, int64_t first, int64_t count)
{
    int64_t rows = 0;
    for (int64_t p = first; p < first + count; p++) {
        const struct prompt *prompt = &record->prompts[p];
        int64_t begin = 0;
        for (int64_t c = 0; c <= prompt->cut_count; c++) {
            const int64_t end = c < prompt->cut_count ? prompt->cuts[c] : prompt->count - 1;
            bool seen = false;
            for (int64_t o = first; o < p && !seen; o++) {
                const struct prompt *other = &record->prompts[o];
                bool has_cut = end == other->count - 1;
                for (int64_t d = 0; d < other->cut_count; d++)
                    has_cut = has_cut || other->cuts[d] == end;
                seen = has_cut && end < other->count &&
                       !memcmp(other->tokens, prompt->tokens, (size_t)end * sizeof(int32_t));
            }
            if (!seen) rows += end - begin;
            begin = end;
        }
    }
    return rows;
}

static void a_turn_prefills_only_what_is_new_in_it(void **state)
{
    (void)state;
    struct fixture f;
    struct record *record = calloc(1, sizeof *record), *anew = calloc(1, sizeof *anew);
    assert_true(record && anew);
    open_model(&f, "llama", 1);
    dialogues_run(&f, &(struct way){.batch = 64, .cache_tokens = 4096}, record);
    dialogues_run(&f, &(struct way){.batch = 64, .cache_tokens = 4096, .forget = true}, anew);
    int64_t prompt = DIALOGUES;
    assert_int_equal(record->prefilled[0], unique_rows(record, 0, DIALOGUES));
    /* Of two histories of 14 tokens with a cut behind 7 equal ones the second costs 6. */
    assert_int_equal(record->prefilled[0], 8 + 13 + 6 + 0 + 4);
    for (int turn = 1; turn < TURNS; turn++, prompt += TALKS) {
        int64_t fresh = 0;
        for (int64_t p = prompt; p < prompt + TALKS; p++) {
            const struct prompt *one = &record->prompts[p];
            fresh += one->count - 1 - one->cuts[one->cut_count - 1];
        }
        assert_int_equal(record->prefilled[turn], fresh);
        assert_int_equal(anew->prefilled[turn], unique_rows(anew, prompt, TALKS));
        assert_true(anew->prefilled[turn] > 2 * record->prefilled[turn]);
    }
    record_free(record);
    record_free(anew);
    free(record);
    free(anew);
    close_model(&f);
}

static void a_reserved_generator_allocates_nothing(void **state)
{
    (void)state;
    struct fixture f;
    struct counted_queue counted;
    struct record *record = calloc(1, sizeof *record);
    assert_non_null(record);
    open_model(&f, "qwen3", 1);
    f.config.history.max_tokens = HISTORY_MAX;
    f.config.rollout.turns = TURNS;
    struct rollout_settings settings = settings_of(&f, 8);
    struct generator *generator = generator_new(&f);
    CHECK(generator_reserve(generator, &settings, 1));
    allocations_count(f.q, &counted);
    turns_run(&f, &(struct way){.batch = 8}, generator, record);
    assert_int_equal(allocations_counted(f.q, &counted), 0);
    record_free(record);
    free(record);
    generator_destroy(generator);
    close_model(&f);
}

/* Three chunks of a prefill, the second begins and ends within segments. */
static void a_long_prefill_has_the_bits_of_one_pass(void **state)
{
    (void)state;
    static const struct model_setting sizes[] = {
        {"vocabulary", 41}, {"d_model", 16},       {"d_kv", 8},       {"d_ff", 24}, {"heads", 2},
        {"kv_heads", 1},    {"decoder_layers", 2}, {"context", 1024}, {"pad", 0},   {"end", 40}};
    enum { LONG = 700, FIRST_CUT = 300, SECOND_CUT = 600 };
    struct fixture f;
    struct model_shape *shape;
    struct prompt prompts[2];
    struct reply_row rows[2] = {{0, {1, 1, 0}, 0}, {1, {2, 1, 0}, 0}};
    struct reply saw[2], want[2];
    struct given_reply given[2];
    int32_t tokens[LONG];
    open_model(&f, "llama", 2);
    model_destroy(f.model);
    CHECK(model_shape_from_settings("llama", sizes, sizeof sizes / sizeof *sizes, &shape));
    CHECK(model_create(f.q, shape, false, &f.model));
    free(shape);
    CHECK(model_initialize(f.model, 3));
    CHECK(model_refresh(f.model));
    const struct rollout_settings settings = settings_of(&f, 8);
    const struct special_ids special = {-1, NULL, 0};
    for (int p = 0; p < 2; p++) {
        for (int i = 0; i < LONG; i++)
            tokens[i] =
                (int32_t)(uniform_at(i < FIRST_CUT ? 7 : 8 + (uint32_t)p, (uint32_t)i) * 40);
        CHECK(prompt_from_tokens(tokens, NULL, LONG - p, 1, &special, &settings, &prompts[p]));
        prompt_cut(&prompts[p], (const int32_t[]){FIRST_CUT, SECOND_CUT}, 2);
    }
    struct generator *generator = generator_new(&f);
    CHECK(generate_replies(generator, &settings, RANDOM_SAMPLING, prompts, rows, 2, want));
    assert_int_equal(model_decoder_counts(generator->decoder).prefilled, 699 + 698 - 300);
    for (int r = 0; r < 2; r++)
        given[r] = (struct given_reply){want[r].tokens, want[r].count, want[r].ended, NULL};
    CHECK(score_replies(generator, &settings, prompts, rows, 2, given, saw));
    check_equal_rows(saw, want, 2);
    for (int r = 0; r < 2; r++) {
        reply_free(&saw[r]);
        reply_free(&want[r]);
        prompt_free(&prompts[r]);
    }
    generator_destroy(generator);
    close_model(&f);
}

static void other_weights_make_what_was_kept_worthless(void **state)
{
    (void)state;
    struct fixture f;
    open_model(&f, "llama", 1);
    struct generator *kept = generator_new(&f), *fresh;
    const struct rollout_settings settings = settings_of(&f, 8);
    struct talk talk;
    struct prompt prompt;
    struct reply before, saw, want;
    const struct reply_row row = {0, {1, 1, 0}, 0};
    talk_begin(&talk, 1);
    prompt_of(&talk, &settings, 0, &prompt);
    CHECK(generate_replies(kept, &settings, RANDOM_SAMPLING, &prompt, &row, 1, &before));
    CHECK(model_initialize(f.model, 3));
    CHECK(model_refresh(f.model));
    fresh = generator_new(&f);
    CHECK(generate_replies(kept, &settings, RANDOM_SAMPLING, &prompt, &row, 1, &saw));
    CHECK(generate_replies(fresh, &settings, RANDOM_SAMPLING, &prompt, &row, 1, &want));
    check_equal_rows(&saw, &want, 1);
    assert_true(saw.logp[0] != before.logp[0]);
    reply_free(&before);
    reply_free(&saw);
    reply_free(&want);
    prompt_free(&prompt);
    generator_destroy(kept);
    generator_destroy(fresh);
    close_model(&f);
}

static void a_history_and_its_reply_must_fit_into_the_context(void **state)
{
    (void)state;
    struct fixture f;
    open_model(&f, "llama", 1); /* 64 positions */
    struct generator *generator = generator_new(&f);
    struct rollout_settings settings = settings_of(&f, 8);
    struct talk talk;
    struct prompt prompt;
    struct reply reply;
    const struct reply_row row = {0, {1, 1, 0}, 0};
    talk_begin(&talk, 1); /* 14 tokens */
    prompt_of(&talk, &settings, 0, &prompt);
    settings.max_new_tokens = 51;
    CHECK(generate_replies(generator, &settings, RANDOM_SAMPLING, &prompt, &row, 1, &reply));
    reply_free(&reply);
    settings.max_new_tokens = 52;
    status s = generate_replies(generator, &settings, RANDOM_SAMPLING, &prompt, &row, 1, &reply);
    assert_non_null(s);
    assert_non_null(strstr(status_message(s), "context of 64"));
    status_free(s);
    prompt_free(&prompt);
    generator_destroy(generator);
    close_model(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(turns_that_go_on_with_each_candidate_are_the_same_in_every_way),
        cmocka_unit_test(turns_that_go_on_with_one_candidate_are_the_same_in_every_way),
        cmocka_unit_test(turns_that_go_on_from_cut_replies_are_the_same_in_every_way),
        cmocka_unit_test(a_turn_prefills_only_what_is_new_in_it),
        cmocka_unit_test(a_reserved_generator_allocates_nothing),
        cmocka_unit_test(a_long_prefill_has_the_bits_of_one_pass),
        cmocka_unit_test(other_weights_make_what_was_kept_worthless),
        cmocka_unit_test(a_history_and_its_reply_must_fit_into_the_context),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
