/* Sampling: which tokens are kept, their distribution, and log-probabilities that are bit for
 * bit those of softmax_loss. */
#include "tests/kernels/kernel_test.h"

#include "src/base/philox.h"

/* `rows` draws of one row of logits, at steps 0, 1, ...; results into token and logp. */
static void draw(struct queue *q, const float *x, int64_t vocabulary, int64_t rows,
                 float temperature, int64_t top_k, float top_p, int32_t *token, float *logp)
{
    float *logits = floats_new(rows * vocabulary), *entropy = floats_new(rows);
    uint32_t *counter = guarded_new((size_t)rows * 12);
    int32_t *step = guarded_new((size_t)rows * 4);
    for (int64_t i = 0; i < rows; i++) {
        memcpy(logits + i * vocabulary, x, (size_t)vocabulary * sizeof *x);
        for (int n = 0; n < 3; n++) counter[3 * i + n] = (uint32_t)n + 7;
        step[i] = (int32_t)i;
    }
    struct sampling s = {.rows = rows,
                         .vocabulary = vocabulary,
                         .logits = logits,
                         .temperature = temperature,
                         .top_k = top_k,
                         .top_p = top_p,
                         .key = {1234, RANDOM_SAMPLING},
                         .counter = counter,
                         .step = step,
                         .token = token,
                         .logp = logp,
                         .token_entropy = entropy};
    q->op->sample(q, &s);
    queue_check(q);
    guarded_free(logits, "logits");
    guarded_free(entropy, "entropy");
    guarded_free(counter, "counter");
    guarded_free(step, "step");
}

/* Draws 200 times: exactly the tokens of `kept` (a bit each) come. */
static void check_kept(const float *x, int64_t vocabulary, float temperature, int64_t top_k,
                       float top_p, uint32_t kept)
{
    enum { rows = 200 };
    struct queues all = queues_new();
    int32_t token[rows];
    float logp[rows];
    uint32_t seen = 0;
    draw(all.q[0], x, vocabulary, rows, temperature, top_k, top_p, token, logp);
    for (int i = 0; i < rows; i++) seen |= 1u << token[i];
    if (seen != kept)
        fail_msg("top_k %lld, top_p %g kept %x, should be %x", (long long)top_k, top_p, seen, kept);
    queues_free(&all);
}

static void top_k_and_top_p_keep_the_tokens_they_should(void **state)
{
    (void)state;
    /* Probabilities 0.1, 0.4, 0.2, 0.2, 0.1. */
    const float x[5] = {logf(0.1f), logf(0.4f), logf(0.2f), logf(0.2f), logf(0.1f)};
    check_kept(x, 5, 1, 0, 1, 0x1F);
    check_kept(x, 5, 1, 5, 1, 0x1F);
    check_kept(x, 5, 1, 9, 1, 0x1F);
    check_kept(x, 5, 1, 1, 1, 0x02);
    check_kept(x, 5, 1, 2, 1, 0x06); /* of equals the lower id */
    check_kept(x, 5, 1, 3, 1, 0x0E);
    check_kept(x, 5, 1, 4, 1, 0x0F);
    check_kept(x, 5, 1, 0, 0.0f, 0x02);
    check_kept(x, 5, 1, 0, 0.35f, 0x02);
    check_kept(x, 5, 1, 0, 0.45f, 0x06); /* the one that crosses p is kept */
    check_kept(x, 5, 1, 0, 0.65f, 0x0E);
    check_kept(x, 5, 1, 0, 0.85f, 0x0F);
    check_kept(x, 5, 1, 0, 0.95f, 0x1F);
    /* top-p over what top-k left: 0.4 of 0.6 is 0.667. */
    check_kept(x, 5, 1, 2, 0.65f, 0x02);
    check_kept(x, 5, 1, 2, 0.70f, 0x06);
    /* Temperature first: at 0.1 token 1 has more than 0.99. */
    check_kept(x, 5, 0.1f, 0, 0.99f, 0x02);
    const float equal[4] = {0};
    check_kept(equal, 4, 1, 0, 0.5f, 0x03);
    check_kept(equal, 4, 1, 3, 0.5f, 0x03); /* 2 of 3 cross half */
    const float masked[3] = {-INFINITY, 0, -INFINITY};
    check_kept(masked, 3, 1, 0, 1, 0x02);
    check_kept(masked, 3, 1, 2, 1, 0x02);
}

/* Chi-square over tokens that should come at least 5 times. */
static void draws_follow_the_distribution(void **state)
{
    (void)state;
    enum { most = 20000, vocabulary = 40 };
    static int32_t token[most];
    static float logp[most];
    static const struct {
        float temperature, top_p;
        int64_t top_k;
    } cases[] = {{1, 1, 0}, {0.8f, 1, 0}, {1, 1, 10}, {0.8f, 0.9f, 20}, {2, 0.5f, 0}};
    struct queues all = queues_new();
    const int rows = all.cuda ? 1000 : most; /* the shim is slow */
    for (size_t n = 0; n < sizeof cases / sizeof *cases; n++) {
        float x[vocabulary];
        double p[vocabulary], total = 0, left = 0, sum = 0;
        int order[vocabulary], count = cases[n].top_k ? (int)cases[n].top_k : vocabulary, kept = 0;
        fill_random(x, vocabulary, 31 + n, 2);
        for (int i = 0; i < vocabulary; i++) {
            int at = i;
            for (; at > 0 && x[order[at - 1]] < x[i]; at--) order[at] = order[at - 1];
            order[at] = i;
            p[i] = exp((double)x[i] / (double)cases[n].temperature);
        }
        for (int i = 0; i < count; i++) left += p[order[i]];
        while (kept < count && sum < (double)cases[n].top_p * left) sum += p[order[kept++]];
        for (int i = kept; i < vocabulary; i++) p[order[i]] = 0;
        for (int i = 0; i < vocabulary; i++) total += p[i];
        draw(all.q[all.count - 1], x, vocabulary, rows, cases[n].temperature, cases[n].top_k,
             cases[n].top_p, token, logp);
        int64_t seen[vocabulary] = {0}, freedom = -1;
        for (int i = 0; i < rows; i++) seen[token[i]]++;
        double chi = 0;
        for (int i = 0; i < vocabulary; i++) {
            const double want = p[i] / total * rows;
            if (p[i] == 0) assert_int_equal(seen[i], 0);
            if (want < 5) continue;
            freedom++;
            chi += ((double)seen[i] - want) * ((double)seen[i] - want) / want;
        }
        /* Mean f, deviation sqrt(2 f); the seed is fixed, so this either holds or not. */
        const double limit = (double)freedom + 4 * sqrt(2 * (double)freedom);
        if (!(chi <= limit)) fail_msg("case %zu: chi-square %g, limit %g", n, chi, limit);
    }
    queues_free(&all);
}

/* With equal logits the token is the uniform number itself, cut to the vocabulary's width. */
static void a_draw_is_that_of_its_dialogue_turn_candidate_and_step(void **state)
{
    (void)state;
    enum { rows = 81, vocabulary = 1024 };
    struct queues all = queues_new();
    float *logits = floats_new(rows * vocabulary);
    float logp[rows], entropy[rows];
    uint32_t counter[3 * rows];
    int32_t step[rows], token[rows];
    for (int i = 0; i < rows; i++) {
        counter[3 * i] = (uint32_t)(i % 3);
        counter[3 * i + 1] = (uint32_t)(i / 3 % 3);
        counter[3 * i + 2] = (uint32_t)(i / 9 % 3);
        step[i] = i / 27;
    }
    memset(logits, 0, sizeof *logits * rows * vocabulary);
    for (int i = 0; i < all.count; i++) {
        struct sampling s = {.rows = rows,
                             .vocabulary = vocabulary,
                             .logits = logits,
                             .temperature = 1,
                             .top_p = 1,
                             .key = {99, RANDOM_SAMPLING},
                             .counter = counter,
                             .step = step,
                             .token = token,
                             .logp = logp,
                             .token_entropy = entropy};
        all.q[i]->op->sample(all.q[i], &s);
        queue_check(all.q[i]);
        for (int r = 0; r < rows; r++) {
            const uint32_t at[4] = {counter[3 * r], counter[3 * r + 1], counter[3 * r + 2],
                                    (uint32_t)step[r]};
            uint32_t word[4];
            philox4x32(at, s.key, word);
            const int want = (int)(philox_uniform(word[0]) * vocabulary);
            if (token[r] != want)
                fail_msg("%s: draw (%u, %u, %u, %u) took %d, not %d", all.name[i], at[0], at[1],
                         at[2], at[3], token[r], want);
        }
    }
    guarded_free(logits, "logits");
    queues_free(&all);
}

static void logp_has_the_bits_of_softmax_loss_everywhere(void **state)
{
    (void)state;
    enum { rows = 19, vocabulary = 2051 };
    static const float temperatures[] = {0, 0.8f, 1, 1.7f};
    struct queues all = queues_new();
    float *logits = random_new(rows * vocabulary, 8, 6);
    uint32_t counter[3 * rows];
    int32_t step[rows];
    for (int i = 0; i < rows; i++) {
        for (int n = 0; n < 3; n++) counter[3 * i + n] = (uint32_t)(i * n);
        step[i] = i;
    }
    for (size_t n = 0; n < sizeof temperatures / sizeof *temperatures; n++)
        for (int cut = 0; cut < 4; cut++) {
            int32_t *first = NULL;
            for (int i = 0; i < all.count; i++) {
                int32_t *token = guarded_new(rows * 4);
                float *logp = floats_new(rows), *entropy = floats_new(rows);
                float *certainty = floats_new(rows);
                struct sampling s = {.rows = rows,
                                     .vocabulary = vocabulary,
                                     .logits = logits,
                                     .temperature = temperatures[n],
                                     .top_k = cut & 1 ? 50 : 0,
                                     .top_p = cut & 2 ? 0.9f : 1.0f,
                                     .key = {5, RANDOM_SAMPLING},
                                     .counter = counter,
                                     .step = step,
                                     .token = token,
                                     .logp = logp,
                                     .token_entropy = entropy,
                                     .self_certainty = certainty};
                all.q[i]->op->sample(all.q[i], &s);
                float want[rows], want_entropy[rows], want_certainty[rows];
                all.q[0]->op->softmax_loss(all.q[0], want, want_entropy, NULL, NULL, want_certainty,
                                           logits, NULL, token, n ? temperatures[n] : 1.0f, rows,
                                           vocabulary);
                check_bits(logp, want, rows, "logp");
                check_bits(entropy, want_entropy, rows, "entropy");
                check_bits(certainty, want_certainty, rows, "self_certainty");
                for (int64_t r = 0; r < rows && n == 0; r++)
                    for (int64_t j = 0; j < vocabulary; j++)
                        assert_true(logits[r * vocabulary + j] <=
                                    logits[r * vocabulary + token[r]]);
                if (first) check_bits(token, first, rows, all.name[i]);
                /* A row alone draws the same token. */
                int32_t alone;
                s.rows = 1;
                s.logits = logits + (rows - 1) * vocabulary;
                s.counter = counter + 3 * (rows - 1);
                s.step = step + rows - 1;
                s.token = &alone;
                all.q[i]->op->sample(all.q[i], &s);
                assert_int_equal(alone, token[rows - 1]);
                guarded_free(logp, "logp");
                guarded_free(entropy, "entropy");
                guarded_free(certainty, "self_certainty");
                if (first)
                    guarded_free(token, "token");
                else
                    first = token;
            }
            guarded_free(first, "token");
        }
    guarded_free(logits, "logits");
    queues_free(&all);
}

/* A forced token is taken whatever the logits say, with its own log-probability; other rows draw
 * what they would have drawn. */
static void forced_tokens_come_in_place_of_drawn_ones(void **state)
{
    (void)state;
    enum { rows = 7, vocabulary = 300 };
    static const float temperatures[] = {0, 0.8f};
    struct queues all = queues_new();
    float *logits = random_new(rows * vocabulary, 18, 3);
    uint32_t counter[3 * rows] = {0};
    int32_t step[rows], forced[rows];
    for (int i = 0; i < rows; i++) {
        counter[3 * i] = (uint32_t)i;
        step[i] = i;
        forced[i] = i % 3 == 1 ? 299 - i : i % 3 == 2 ? 0 : -1;
    }
    for (size_t n = 0; n < 2; n++)
        for (int i = 0; i < all.count; i++) {
            int32_t *drawn = guarded_new(rows * 4), *token = guarded_new(rows * 4);
            float *logp = floats_new(rows), want[rows];
            struct sampling s = {.rows = rows,
                                 .vocabulary = vocabulary,
                                 .logits = logits,
                                 .temperature = temperatures[n],
                                 .top_k = 5,
                                 .top_p = 0.9f,
                                 .key = {5, RANDOM_SAMPLING},
                                 .counter = counter,
                                 .step = step,
                                 .token = drawn};
            all.q[i]->op->sample(all.q[i], &s);
            s.token = token;
            s.logp = logp;
            s.forced = forced;
            all.q[i]->op->sample(all.q[i], &s);
            queue_check(all.q[i]);
            for (int r = 0; r < rows; r++)
                assert_int_equal(token[r], forced[r] < 0 ? drawn[r] : forced[r]);
            all.q[0]->op->softmax_loss(all.q[0], want, NULL, NULL, NULL, NULL, logits, NULL, token,
                                       n ? temperatures[n] : 1.0f, rows, vocabulary);
            check_bits(logp, want, rows, "logp of forced tokens");
            guarded_free(drawn, "drawn");
            guarded_free(token, "token");
            guarded_free(logp, "logp");
        }
    guarded_free(logits, "logits");
    queues_free(&all);
}

/* Ties, masked tokens, zeros of both signs, peaked and flat rows.  The sums that decide are exact
 * on one device and of float64 on the other; none of these draws lies within their rounding. */
static void tokens_are_those_of_plain_c(void **state)
{
    (void)state;
    enum { rows = 40, vocabulary = 1501, cases = 5 };
    static const int64_t top_k[cases] = {0, 40, 0, 300, 1};
    static const float top_p[cases] = {1, 1, 0.8f, 0.95f, 0.5f};
    struct queues all = queues_new();
    struct queue *c;
    assert_null(cpu_queue_create(1, "c", &c));
    float *x = random_new(vocabulary, 77, 3);
    for (int i = 0; i < vocabulary; i++) {
        if (i % 3 == 0) x[i] = roundf(x[i]);
        if (i % 5 == 0) x[i] = i % 2 ? 0.0f : -0.0f;
        if (i % 11 == 0) x[i] = -INFINITY;
    }
    for (int n = 0; n < cases; n++)
        for (int flat = 0; flat < 2; flat++) {
            int32_t want[rows], got[rows];
            float logp[rows];
            draw(c, x, vocabulary, rows, flat ? 3.0f : 0.7f, top_k[n], top_p[n], want, logp);
            for (int i = 0; i < all.count; i++) {
                draw(all.q[i], x, vocabulary, rows, flat ? 3.0f : 0.7f, top_k[n], top_p[n], got,
                     logp);
                check_bits(got, want, rows, all.name[i]);
            }
        }
    guarded_free(x, "logits");
    c->op->destroy(c);
    queues_free(&all);
}

static void greedy_takes_the_lowest_of_equals(void **state)
{
    (void)state;
    struct queues all = queues_new();
    const float x[5] = {-1, 2, 0, 2, 2};
    int32_t token[2];
    float logp[2];
    draw(all.q[0], x, 5, 2, 0, 0, 1, token, logp);
    assert_int_equal(token[0], 1);
    assert_int_equal(token[1], 1);
    queues_free(&all);
}

/* As in a decode step after rows have left: slots out of order, results at (slot, step). */
static void results_go_to_the_places_of_slot_and_step(void **state)
{
    (void)state;
    enum { rows = 4, slots = 9, steps = 5, vocabulary = 50 };
    static const int32_t slot[rows] = {7, 2, 8, 0};
    struct queues all = queues_new();
    float *logits = random_new(rows * vocabulary, 4, 3);
    uint32_t counter[3 * rows], placed[3 * slots] = {0};
    int32_t step[rows], token[rows], other[rows], *kept = guarded_new(slots * steps * 4);
    float logp[rows], entropy[rows], *logps = floats_new(slots * steps);
    float *entropies = floats_new(slots * steps), *certainties = floats_new(slots * steps);
    float certainty[rows];
    for (int i = 0; i < rows; i++) {
        step[i] = (3 * i + 1) % steps;
        for (int n = 0; n < 3; n++)
            placed[3 * slot[i] + n] = counter[3 * i + n] = (uint32_t)(i + 5 * n);
    }
    struct sampling s = {.rows = rows,
                         .vocabulary = vocabulary,
                         .logits = logits,
                         .temperature = 1,
                         .top_p = 1,
                         .key = {3, RANDOM_SAMPLING},
                         .counter = counter,
                         .step = step,
                         .token = token,
                         .logp = logp,
                         .token_entropy = entropy,
                         .self_certainty = certainty};
    all.q[0]->op->sample(all.q[0], &s);
    s.counter = placed;
    s.at = (struct result_places){.slot = slot, .stride = steps};
    s.token = other;
    s.token_record = kept;
    s.logp = logps;
    s.token_entropy = entropies;
    s.self_certainty = certainties;
    all.q[0]->op->sample(all.q[0], &s);
    queue_check(all.q[0]);
    int written = 0;
    for (int i = 0; i < slots * steps; i++) written += !isnan(logps[i]);
    assert_int_equal(written, rows);
    for (int i = 0; i < rows; i++) {
        const int at = slot[i] * steps + step[i];
        assert_int_equal(other[i], token[i]);
        assert_int_equal(kept[at], token[i]);
        check_bits(logps + at, logp + i, 1, "logp");
        check_bits(entropies + at, entropy + i, 1, "entropy");
        check_bits(certainties + at, certainty + i, 1, "self_certainty");
    }
    guarded_free(logits, "logits");
    guarded_free(kept, "tokens kept");
    guarded_free(logps, "logps");
    guarded_free(entropies, "entropies");
    guarded_free(certainties, "certainties");
    queues_free(&all);
}

/* A device keeps a row where it is read fast, if it has the room: CUDA_HOST_SHARED makes one
 * without (the CPU takes no notice). */
static void a_row_too_long_for_fast_memory_draws_the_same(void **state)
{
    (void)state;
    enum { rows = 6, vocabulary = 301, cases = 5 };
    static const float temperature[cases] = {0, 1, 0.7f, 1.3f, 1};
    static const int64_t top_k[cases] = {0, 0, 30, 0, 50};
    static const float top_p[cases] = {1, 1, 1, 0.8f, 0.9f};
    float *x = random_new(vocabulary, 12, 3);
    int32_t token[2][cases][rows];
    float logp[2][cases][rows];
    for (int small = 0; small < 2; small++) {
        if (small) setenv("CUDA_HOST_SHARED", "1000", 1);
        struct queues all = queues_new();
        for (int n = 0; n < cases; n++)
            draw(all.q[0], x, vocabulary, rows, temperature[n], top_k[n], top_p[n], token[small][n],
                 logp[small][n]);
        queues_free(&all);
    }
    unsetenv("CUDA_HOST_SHARED");
    check_bits(token[1], token[0], cases * rows, "token");
    check_bits(logp[1], logp[0], cases * rows, "logp");
    guarded_free(x, "logits");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(top_k_and_top_p_keep_the_tokens_they_should),
        cmocka_unit_test(draws_follow_the_distribution),
        cmocka_unit_test(a_draw_is_that_of_its_dialogue_turn_candidate_and_step),
        cmocka_unit_test(logp_has_the_bits_of_softmax_loss_everywhere),
        cmocka_unit_test(forced_tokens_come_in_place_of_drawn_ones),
        cmocka_unit_test(tokens_are_those_of_plain_c),
        cmocka_unit_test(greedy_takes_the_lowest_of_equals),
        cmocka_unit_test(a_row_too_long_for_fast_memory_draws_the_same),
        cmocka_unit_test(results_go_to_the_places_of_slot_and_step),
    };
    return cmocka_run_group_tests_name("sample", tests, NULL, NULL);
}
