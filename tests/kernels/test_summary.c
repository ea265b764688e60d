/* The attention summary against the definitions of docs/reward.md. */
#include "tests/kernels/kernel_test.h"

#include "src/base/philox.h"

enum { histories = 3, tokens = 83, rows = 9, stride = 50, turns = 3, top = 4 };

/* Histories of 1, 32 and 50 tokens, three rows each. */
struct problem {
    struct attention_summary s;
    float capture[rows * stride];
    int32_t history_of_row[rows], key_begin[histories], key_end[histories], step[rows];
    uint8_t visible[tokens], salient[tokens], turn[tokens], slots[tokens];
    float floor_delta[rows];
    uint32_t counter[3 * rows];
    float *entropy, *floored, *salient_mass, *special_mass, *turn_mass, *top_weight, *slot_mass;
    int32_t *top_position;
};

static struct problem *problem_new(int form, bool shuffle)
{
    static const int32_t bounds[histories + 1] = {0, 1, 33, 83};
    struct problem *p = calloc(1, sizeof *p);
    assert_non_null(p);
    for (int h = 0; h < histories; h++) {
        p->key_begin[h] = bounds[h];
        p->key_end[h] = bounds[h + 1];
    }
    for (int j = 0; j < tokens; j++) {
        p->visible[j] = j == 0 || uniform_at(1, (uint64_t)j) < 0.8;
        p->salient[j] = p->visible[j] && uniform_at(2, (uint64_t)j) < 0.3;
        p->turn[j] = (uint8_t)(j % turns);
        p->slots[j] = j % 5 < 2;
    }
    for (int i = 0; i < rows; i++) {
        const int h = p->history_of_row[i] = (i * 2 + 1) % histories;
        const int keys = bounds[h + 1] - bounds[h];
        double sum = 0, power = 1 + 5 * (i % 3), count = 0; /* from flat to peaked */
        for (int j = 0; j < keys; j++)
            sum += p->capture[i * stride + j] =
                (float)pow(uniform_at(3, (uint64_t)(i * stride + j)), power);
        for (int j = 0; j < keys; j++) {
            p->capture[i * stride + j] *= (float)(8 / sum); /* 8 layers and heads */
            count += p->visible[bounds[h] + j];
        }
        for (int j = keys; j < stride; j++) p->capture[i * stride + j] = NAN;
        p->floor_delta[i] = (float)(log(count) * (i % 2 ? 0.9 : 0.98));
        p->step[i] = i;
        for (int n = 0; n < 3; n++) p->counter[3 * i + n] = (uint32_t)(i + n);
    }
    p->s = (struct attention_summary){
        .rows = rows,
        .capture = p->capture,
        .capture_stride = stride,
        .weight = 0.125f,
        .history_of_row = p->history_of_row,
        .key_begin = p->key_begin,
        .key_end = p->key_end,
        .visible = p->visible,
        .salient = p->salient,
        .turn = p->turn,
        .slots = p->slots,
        .floor_delta = p->floor_delta,
        .floor = form,
        .shuffle = shuffle,
        .key = {77, RANDOM_SHUFFLED_CONTROL},
        .counter = p->counter,
        .step = p->step,
        .turns = turns,
        .top = top,
        .entropy = p->entropy = floats_new(rows),
        .entropy_floored = p->floored = floats_new(rows),
        .salient_mass = p->salient_mass = floats_new(rows),
        .special_mass = p->special_mass = floats_new(rows),
        .slot_mass = p->slot_mass = floats_new(rows),
        .turn_mass = p->turn_mass = floats_new(rows * turns),
        .top_position = p->top_position = guarded_new(rows * top * 4),
        .top_weight = p->top_weight = floats_new(rows * top),
    };
    return p;
}

static void problem_free(struct problem *p)
{
    guarded_free(p->entropy, "entropy");
    guarded_free(p->floored, "entropy_floored");
    guarded_free(p->salient_mass, "salient_mass");
    guarded_free(p->special_mass, "special_mass");
    guarded_free(p->slot_mass, "slot_mass");
    guarded_free(p->turn_mass, "turn_mass");
    guarded_free(p->top_position, "top_position");
    guarded_free(p->top_weight, "top_weight");
    free(p);
}

static void run(struct queue *q, struct problem *p)
{
    q->op->attention_summary(q, &p->s);
    queue_check(q);
}

/* a over all the history's positions (0 outside V); returns |V|. */
static int row_weights(const struct problem *p, int row, double *a, double *special)
{
    const int begin = p->key_begin[p->history_of_row[row]];
    const int keys = p->key_end[p->history_of_row[row]] - begin;
    double sum = 0;
    int count = 0;
    *special = 0;
    for (int j = 0; j < keys; j++) {
        a[j] = p->visible[begin + j] ? (double)p->capture[row * stride + j] : 0;
        if (!p->visible[begin + j]) *special += (double)p->capture[row * stride + j] / 8;
        sum += a[j];
        count += p->visible[begin + j];
    }
    for (int j = 0; j < keys; j++)
        a[j] = !p->visible[begin + j] ? 0 : sum > 0 ? a[j] / sum : 1.0 / count;
    return count;
}

static double entropy_of(const double *a, int count)
{
    double sum = 0;
    for (int i = 0; i < count; i++)
        if (a[i] > 0) sum -= a[i] * log(a[i]);
    return sum;
}

/* All comparisons below: float64 inside, one rounding to float32 of numbers below 4. */
static const double off = 3e-7;

static void every_term_is_the_one_defined(void **state)
{
    (void)state;
    struct queues all = queues_new();
    for (int form = ROW_FLOOR_NONE; form <= ROW_FLOOR_MIX; form++) {
        struct problem *p = problem_new(form, false);
        run(all.q[0], p);
        bool raised = false;
        for (int i = 0; i < rows; i++) {
            const int begin = p->key_begin[p->history_of_row[i]];
            const int keys = p->key_end[p->history_of_row[i]] - begin;
            double a[stride], special, salient = 0, mass[turns] = {0}, slots = 0;
            const int count = row_weights(p, i, a, &special);
            const double entropy = entropy_of(a, keys), delta = (double)p->floor_delta[i];
            for (int j = 0; j < keys; j++) mass[p->turn[begin + j]] += a[j];
            for (int j = 0; j < keys; j++) slots += p->slots[begin + j] ? a[j] : 0;
            check_close(p->slot_mass + i, &slots, 1, off, off, "slot_mass");
            check_close(p->entropy + i, &entropy, 1, off, off, "entropy");
            check_close(p->special_mass + i, &special, 1, off, off, "special_mass");
            check_close(p->turn_mass + i * turns, mass, turns, off, off, "turn_mass");
            bool taken[stride] = {false};
            for (int t = 0; t < top; t++) {
                int best = -1;
                for (int j = 0; j < keys; j++)
                    if (p->visible[begin + j] && !taken[j] && (best < 0 || a[j] > a[best]))
                        best = j;
                assert_int_equal(p->top_position[i * top + t], best);
                if (best < 0) continue;
                taken[best] = true;
                check_close(p->top_weight + i * top + t, a + best, 1, off, off, "top_weight");
            }
            double floored = entropy;
            if (form == ROW_FLOOR_VALUE && entropy < delta) floored = delta;
            if (form == ROW_FLOOR_MIX && entropy < delta) {
                /* The smallest w by fine search, from above. */
                double low = 0, high = 1, mixed[stride];
                for (int n = 0; n < 60; n++) {
                    const double w = (low + high) / 2;
                    for (int j = 0; j < keys; j++)
                        mixed[j] = p->visible[begin + j] ? (1 - w) * a[j] + w / count : 0;
                    if (entropy_of(mixed, keys) < delta)
                        low = w;
                    else
                        high = w;
                }
                memcpy(a, mixed, sizeof a);
                floored = delta;
                raised = true;
            }
            for (int j = 0; j < keys; j++)
                if (p->salient[begin + j]) salient += a[j];
            check_close(p->floored + i, &floored, 1, off, off, "entropy_floored");
            check_close(p->salient_mass + i, &salient, 1, off, off, "salient_mass");
        }
        assert_true(raised == (form == ROW_FLOOR_MIX));
        problem_free(p);
    }
    queues_free(&all);
}

static void bits_do_not_depend_on_the_queue_or_the_other_rows(void **state)
{
    (void)state;
    struct queues all = queues_new();
    for (int shuffle = 0; shuffle < 2; shuffle++) {
        struct problem *p = problem_new(ROW_FLOOR_MIX, shuffle),
                       *other = problem_new(ROW_FLOOR_MIX, shuffle);
        run(all.q[0], p);
        for (int i = 1; i < all.count; i++) {
            run(all.q[i], other);
            check_bits(other->floored, p->floored, rows, "entropy_floored");
            check_bits(other->salient_mass, p->salient_mass, rows, "salient_mass");
            check_bits(other->slot_mass, p->slot_mass, rows, "slot_mass");
            check_bits(other->turn_mass, p->turn_mass, rows * turns, "turn_mass");
            check_bits(other->top_position, p->top_position, rows * top, "top_position");
        }
        for (int i = 0; i < rows; i++) {
            struct problem alone = *other;
            alone.s.rows = 1;
            alone.s.capture += i * stride;
            alone.s.history_of_row += i;
            alone.s.floor_delta += i;
            alone.s.counter += 3 * i;
            alone.s.step += i;
            run(all.q[0], &alone);
            check_bits(other->salient_mass, p->salient_mass + i, 1, "row alone");
            check_bits(other->floored, p->floored + i, 1, "row alone");
            check_bits(other->top_position, p->top_position + i * top, top, "row alone");
        }
        problem_free(p);
        problem_free(other);
    }
    queues_free(&all);
}

/* A one-hot row lands on each position of V about equally often, never outside. */
static void the_shuffle_permutes_over_the_visible(void **state)
{
    (void)state;
    struct queues all = queues_new();
    const int steps = all.cuda ? 600 : 6000; /* the shim is slow */
    struct problem *p = problem_new(ROW_FLOOR_NONE, true);
    const int row = 1, begin = p->key_begin[p->history_of_row[row]];
    const int keys = p->key_end[p->history_of_row[row]] - begin;
    double a[stride], special;
    const int count = row_weights(p, row, a, &special);
    int first = 0, seen[stride] = {0};
    run(all.q[0], p);
    const double entropy = entropy_of(a, keys); /* a permutation keeps it */
    check_close(p->entropy + row, &entropy, 1, off, off, "entropy");
    while (!p->visible[begin + first]) first++;
    memset(p->capture, 0, sizeof p->capture);
    p->capture[row * stride + first] = 8;
    for (int t = 0; t < steps; t++) {
        p->step[row] = t;
        run(all.q[0], p);
        assert_true(p->top_weight[row * top] == 1);
        seen[p->top_position[row * top]]++;
    }
    for (int j = 0; j < keys; j++) {
        const double want = p->visible[begin + j] ? (double)steps / count : 0;
        if (!(fabs(seen[j] - want) <= 5 * sqrt(want))) /* five deviations of a count */
            fail_msg("position %d came %d times, should be about %g", j, seen[j], want);
    }
    problem_free(p);
    queues_free(&all);
}

static void edge_cases_have_their_defined_values(void **state)
{
    (void)state;
    struct queues all = queues_new();
    struct problem *p = problem_new(ROW_FLOOR_VALUE, false);
    /* Row 0 and 3, 6 read history 1 (32 tokens).  All its weight outside V: uniform. */
    for (int j = 0; j < 32; j++) p->capture[j] = p->visible[1 + j] ? 0.0f : 1.0f;
    run(all.q[0], p);
    double count = 0;
    for (int j = 0; j < 32; j++) count += p->visible[1 + j];
    const double uniform = log(count);
    assert_int_equal(p->history_of_row[0], 1);
    check_close(p->entropy, &uniform, 1, off, off, "entropy");
    assert_true(p->top_position[0] < p->top_position[1]); /* equal: ascending */
    /* V empty: everything 0, no position. */
    memset(p->visible + 1, 0, 32);
    memset(p->salient + 1, 0, 32);
    run(all.q[0], p);
    assert_true(p->entropy[0] == 0 && p->floored[0] == 0 && p->salient_mass[0] == 0);
    for (int t = 0; t < top; t++) assert_int_equal(p->top_position[t], -1);
    /* |V| = 1: no entropy, one position. */
    p->visible[5] = p->salient[5] = 1;
    p->floor_delta[0] = 0;
    run(all.q[0], p);
    assert_true(p->entropy[0] == 0 && p->floored[0] == 0 && p->salient_mass[0] == 1);
    assert_int_equal(p->top_position[0], 4);
    assert_int_equal(p->top_position[1], -1);
    /* Without the optional outputs. */
    p->s.turn_mass = NULL;
    p->s.top_position = NULL;
    run(all.q[0], p);
    problem_free(p);
    queues_free(&all);
}

/* Captured rows far longer than the histories: a device may keep its working space elsewhere. */
static void wide_rows_change_no_bits(void **state)
{
    (void)state;
    enum { wide = 5003 };
    struct queues all = queues_new();
    struct problem *p = problem_new(ROW_FLOOR_MIX, true), *other = problem_new(ROW_FLOOR_MIX, true);
    float *capture = floats_new(rows * wide);
    for (int i = 0; i < rows; i++)
        memcpy(capture + i * wide, p->capture + i * stride, stride * sizeof *capture);
    run(all.q[0], p);
    other->s.capture = capture;
    other->s.capture_stride = wide;
    run(all.q[0], other);
    check_bits(other->entropy, p->entropy, rows, "entropy");
    check_bits(other->floored, p->floored, rows, "entropy_floored");
    check_bits(other->salient_mass, p->salient_mass, rows, "salient_mass");
    check_bits(other->turn_mass, p->turn_mass, rows * turns, "turn_mass");
    check_bits(other->top_position, p->top_position, rows * top, "top_position");
    guarded_free(capture, "capture");
    problem_free(p);
    problem_free(other);
    queues_free(&all);
}

/* Rows of a decoder-only model: an entry for each history token, then for those of the reply so
 * far, and what lies behind is not read.  V leaves the first token out as well. */
static void masses_are_of_the_first_special_other_and_reply_tokens(void **state)
{
    (void)state;
    enum { wide = stride + rows };
    struct queues all = queues_new();
    for (int qi = 0; qi < all.count; qi++) {
        struct problem *p = problem_new(ROW_FLOOR_NONE, false);
        uint8_t special[tokens];
        float *capture = floats_new(rows * wide), *mass[3];
        for (int k = 0; k < 3; k++) mass[k] = floats_new(rows);
        for (int j = 0; j < tokens; j++) special[j] = uniform_at(8, (uint64_t)j) < 0.3;
        for (int h = 0; h < histories; h++) p->visible[p->key_begin[h]] = false;
        for (int i = 0; i < rows; i++) {
            const int keys = p->key_end[p->history_of_row[i]] - p->key_begin[p->history_of_row[i]];
            for (int j = 0; j < keys + p->step[i]; j++)
                capture[i * wide + j] = (float)uniform_at(9, (uint64_t)(i * wide + j));
        }
        p->s.capture = capture;
        p->s.capture_stride = wide;
        p->s.special = special;
        p->s.first_mass = mass[0];
        p->s.history_mass = mass[1];
        p->s.reply_mass = mass[2];
        run(all.q[qi], p);
        for (int i = 0; i < rows; i++) {
            const int begin = p->key_begin[p->history_of_row[i]];
            const int keys = p->key_end[p->history_of_row[i]] - begin;
            double want[4] = {0}, entropy = 0, sum = 0;
            for (int j = 0; j < keys + p->step[i]; j++) {
                const int kind = j == 0 ? 0 : j >= keys ? 2 : special[begin + j] ? 3 : 1;
                want[kind] += (double)capture[i * wide + j] * 0.125;
                if (j < keys && p->visible[begin + j]) sum += (double)capture[i * wide + j];
            }
            for (int k = 0; k < 3; k++) check_close(mass[k] + i, want + k, 1, off, off, "a mass");
            check_close(p->special_mass + i, want + 3, 1, off, off, "special_mass");
            for (int j = 0; j < keys; j++) {
                const double a = (double)capture[i * wide + j] / sum;
                if (p->visible[begin + j]) entropy -= a * log(a);
            }
            check_close(p->entropy + i, &entropy, 1, off, off, "entropy");
        }
        /* Each mass may be left out, and without `special` none is written. */
        struct problem *none = problem_new(ROW_FLOOR_NONE, false);
        none->s.first_mass = mass[0];
        mass[0][0] = 77;
        run(all.q[qi], none);
        assert_true(mass[0][0] == 77);
        none->s.special = special;
        none->s.first_mass = NULL;
        none->s.capture = capture;
        none->s.capture_stride = wide;
        run(all.q[qi], none);
        check_bits(none->special_mass, p->special_mass, rows, all.name[qi]);
        for (int k = 0; k < 3; k++) guarded_free(mass[k], "a mass");
        guarded_free(capture, "capture");
        problem_free(none);
        problem_free(p);
    }
    queues_free(&all);
}

/* As in a decode step after rows have left: slots out of order, results at (slot, step). */
static void results_go_to_the_places_of_slot_and_step(void **state)
{
    (void)state;
    enum { slots = 2 * rows, steps = rows };
    struct queues all = queues_new();
    struct problem *plain = problem_new(ROW_FLOOR_MIX, true), *p = problem_new(ROW_FLOOR_MIX, true);
    float floors[slots], *results[6];
    uint32_t counter[3 * slots];
    int32_t slot[rows], *position = guarded_new(slots * steps * top * 4);
    float *weight = floats_new(slots * steps * top);
    for (int i = 0; i < slots; i++) floors[i] = NAN;
    memset(counter, 0, sizeof counter);
    for (int i = 0; i < rows; i++) {
        slot[i] = 2 * i + i % 2;
        floors[slot[i]] = p->floor_delta[i];
        memcpy(counter + 3 * slot[i], p->counter + 3 * i, 3 * sizeof *counter);
    }
    for (int i = 0; i < 6; i++) results[i] = floats_new(slots * steps * (i == 4 ? turns : 1));
    p->s.at = (struct result_places){.slot = slot, .stride = steps};
    p->s.floor_delta = floors;
    p->s.counter = counter;
    p->s.entropy = results[0];
    p->s.entropy_floored = results[1];
    p->s.salient_mass = results[2];
    p->s.special_mass = results[3];
    p->s.turn_mass = results[4];
    p->s.slot_mass = results[5];
    p->s.top_position = position;
    p->s.top_weight = weight;
    run(all.q[0], plain);
    run(all.q[0], p);
    for (int i = 0; i < rows; i++) {
        const int at = slot[i] * steps + p->step[i];
        check_bits(results[0] + at, plain->entropy + i, 1, "entropy");
        check_bits(results[1] + at, plain->floored + i, 1, "entropy_floored");
        check_bits(results[2] + at, plain->salient_mass + i, 1, "salient_mass");
        check_bits(results[3] + at, plain->special_mass + i, 1, "special_mass");
        check_bits(results[4] + at * turns, plain->turn_mass + i * turns, turns, "turn_mass");
        check_bits(results[5] + at, plain->slot_mass + i, 1, "slot_mass");
        check_bits(position + at * top, plain->top_position + i * top, top, "top_position");
        check_bits(weight + at * top, plain->top_weight + i * top, top, "top_weight");
    }
    int written = 0;
    for (int i = 0; i < slots * steps; i++) written += !isnan(results[0][i]);
    assert_int_equal(written, rows);
    for (int i = 0; i < 6; i++) guarded_free(results[i], "a result");
    guarded_free(position, "top_position");
    guarded_free(weight, "top_weight");
    problem_free(plain);
    problem_free(p);
    queues_free(&all);
}

/* Two steps of the nine rows, each its own reply in places of another order; every third has ended
 * before, and the tokens of some end them between the steps. */
static void what_a_reply_reads_is_added_up_until_it_ends(void **state)
{
    (void)state;
    struct queues all = queues_new();
    struct problem *p = problem_new(ROW_FLOOR_NONE, false);
    int32_t reply[rows], token[rows];
    for (int i = 0; i < rows; i++) {
        reply[i] = (i * 4 + 2) % rows;
        token[i] = 5 + i % 4; /* 5 and 7 are ends */
    }
    for (int n = 0; n < all.count; n++) {
        float *sum = floats_new(rows * stride), want[rows * stride] = {0};
        int32_t ended[rows];
        for (int r = 0; r < rows; r++) ended[r] = r % 3 == 0;
        struct attention_received call = {.rows = rows,
                                          .capture = p->capture,
                                          .capture_stride = stride,
                                          .weight = 0.3f,
                                          .history_of_row = p->history_of_row,
                                          .key_begin = p->key_begin,
                                          .key_end = p->key_end,
                                          .token = token,
                                          .reply = reply,
                                          .end = {5, 7},
                                          .ends = 2,
                                          .ended = ended,
                                          .sum = sum,
                                          .stride = stride};
        memset(sum, 0, sizeof want);
        for (int step = 0; step < 2; step++) {
            all.q[n]->op->attention_received(all.q[n], &call);
            queue_check(all.q[n]);
        }
        for (int i = 0; i < rows; i++) {
            const int h = p->history_of_row[i], ends = i % 4 == 0 || i % 4 == 2;
            for (int j = 0; j < p->key_end[h] - p->key_begin[h]; j++) {
                const float share = p->capture[i * stride + j] * 0.3f;
                const int counted = reply[i] % 3 == 0 ? 0 : ends ? 1 : 2;
                want[reply[i] * stride + j] = (float)counted * share;
            }
            assert_int_equal(ended[reply[i]], reply[i] % 3 == 0 || ends);
        }
        check_bits(sum, want, rows * stride, "sum");
        guarded_free(sum, "sum");
    }
    problem_free(p);
    queues_free(&all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_term_is_the_one_defined),
        cmocka_unit_test(bits_do_not_depend_on_the_queue_or_the_other_rows),
        cmocka_unit_test(the_shuffle_permutes_over_the_visible),
        cmocka_unit_test(edge_cases_have_their_defined_values),
        cmocka_unit_test(wide_rows_change_no_bits),
        cmocka_unit_test(masses_are_of_the_first_special_other_and_reply_tokens),
        cmocka_unit_test(results_go_to_the_places_of_slot_and_step),
        cmocka_unit_test(what_a_reply_reads_is_added_up_until_it_ends),
    };
    return cmocka_run_group_tests_name("summary", tests, NULL, NULL);
}
