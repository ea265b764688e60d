/* state.h5: rows come back by their names, whoever's they are; what does not fit is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "src/base/file.h"
#include "src/checkpoint/state.h"
#include "src/checkpoint/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What the rows of this test remember. */
struct remembered {
    int64_t steps;
    double share;
    char text[32];
    float values[3];
    int64_t value_count;
    bool reached;
};

static char folder[64];

static int make_folder(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/regard-state-XXXXXX");
    return mkdtemp(folder) ? 0 : 1;
}

static int remove_folder(void **state)
{
    (void)state;
    status s = directory_remove(folder);
    status_free(s);
    return s ? 1 : 0;
}

static void done(status s)
{
    if (s) fail_msg("%s", status_message(s));
}

static void refused(status s, const char *why)
{
    if (!s) fail_msg("not refused: %s", why);
    if (!strstr(status_message(s), why))
        fail_msg("\"%s\" does not say: %s", status_message(s), why);
    status_free(s);
}

static status state_save(const char *to, const struct state_row *rows, int64_t count,
                         const void *run)
{
    struct state_kept *kept;
    TRY(state_keep(rows, count, run, &kept));
    status s = state_kept_write(kept, to);
    state_kept_free(kept);
    return s;
}

static status steps_get(const void *run, int64_t index, struct state_value *out)
{
    (void)index;
    out->room.integers[0] = ((const struct remembered *)run)->steps;
    out->values = out->room.integers;
    out->count = 1;
    return NULL;
}

static status steps_set(void *run, int64_t index, const void *values, int64_t count)
{
    (void)index, (void)count;
    ((struct remembered *)run)->steps = *(const int64_t *)values;
    return NULL;
}

static status share_get(const void *run, int64_t index, struct state_value *out)
{
    (void)index;
    out->values = &((const struct remembered *)run)->share;
    out->count = 1;
    return NULL;
}

static status share_set(void *run, int64_t index, const void *values, int64_t count)
{
    (void)index, (void)count;
    ((struct remembered *)run)->share = *(const double *)values;
    return NULL;
}

static status text_get(const void *run, int64_t index, struct state_value *out)
{
    (void)index;
    out->values = ((const struct remembered *)run)->text;
    out->count = (int64_t)strlen(out->values);
    return NULL;
}

static status text_set(void *run, int64_t index, const void *values, int64_t count)
{
    (void)index, (void)count;
    strcpy(((struct remembered *)run)->text, values);
    return NULL;
}

/* Owned by the value: the sanitizer's build sees it freed. */
static status values_get(const void *run, int64_t index, struct state_value *out)
{
    (void)index;
    const struct remembered *r = run;
    out->count = r->value_count;
    out->values = out->owned = malloc(sizeof r->values);
    if (out->owned) memcpy(out->owned, r->values, sizeof r->values);
    return NULL;
}

static status values_set(void *run, int64_t index, const void *values, int64_t count)
{
    (void)index;
    struct remembered *r = run;
    memcpy(r->values, values, (size_t)count * sizeof(float));
    r->value_count = count;
    r->reached = true;
    return NULL;
}

static const struct state_row rows[] = {
    {"steps", STATE_INTEGERS, 1, false, 0, steps_get, steps_set},
    {"share", STATE_DOUBLES, 1, false, 0, share_get, share_set},
    {"text", STATE_TEXT, -1, false, 0, text_get, text_set},
    {"values", STATE_FLOATS, -1, false, 0, values_get, values_set},
};

enum { ROWS = sizeof rows / sizeof *rows };

static const struct remembered some = {.steps = 1LL << 40,
                                       .share = 1.0 / 3.0,
                                       .text = "seed: 1",
                                       .values = {1, -2, 3},
                                       .value_count = 3};

static void rows_come_back_with_every_bit(void **state)
{
    (void)state;
    struct remembered back = {0};
    done(state_save(folder, rows, ROWS, &some));
    done(state_load(folder, rows, ROWS, &back));
    assert_true(back.steps == some.steps && back.share == some.share && back.value_count == 3);
    assert_string_equal(back.text, some.text);
    assert_memory_equal(back.values, some.values, sizeof some.values);
    char *text;
    int64_t count;
    done(state_read(folder, "text", STATE_TEXT, (void **)&text, &count));
    assert_int_equal(count, 7);
    assert_string_equal(text, "seed: 1");
    free(text);
}

static void an_empty_row_is_a_row(void **state)
{
    (void)state;
    struct remembered none = {0}, back = some;
    done(state_save(folder, rows, ROWS, &none));
    done(state_load(folder, rows, ROWS, &back));
    assert_true(back.reached && back.value_count == 0);
    assert_string_equal(back.text, "");
}

/* A checkpoint of before there was a row: it is missed, or where that is allowed the value stays.
 */
static void a_row_that_is_missing_is_named_unless_it_may_miss(void **state)
{
    (void)state;
    struct state_row newer = rows[ROWS - 1];
    struct remembered back = {.value_count = 2};
    done(state_save(folder, rows, ROWS - 1, &some));
    refused(state_load(folder, rows, ROWS, &back), "values is missing");
    newer.may_miss = true;
    done(state_load(folder, &newer, 1, &back));
    assert_int_equal(back.value_count, 2);
}

static void another_type_or_count_is_refused(void **state)
{
    (void)state;
    struct remembered back = {0};
    struct state_row other = rows[1];
    done(state_save(folder, rows, ROWS, &some));
    other.type = STATE_INTEGERS;
    refused(state_load(folder, &other, 1, &back), "share has another type");
    other = rows[3];
    other.count = 2;
    refused(state_load(folder, &other, 1, &back), "values has 3 elements, not 2");
    refused(state_save(folder, &other, 1, &some), "row values has 3 elements, not 2");
}

/* Before rows had names there was no format in the file. */
static void a_state_of_another_format_is_refused_in_one_line(void **state)
{
    (void)state;
    const int64_t counters[5] = {1, 2, 3, 4, 5}, five = 5, one = 1, format = STATE_FORMAT + 1;
    struct remembered back = {0};
    struct store *store;
    done(store_create_in(folder, "state.h5", &store));
    done(store_write(store, "counters", STORE_INTEGERS, counters, 1, &five));
    done(store_close(store));
    refused(state_load(folder, rows, ROWS, &back), "state.h5 is of format 1, this regard reads 2");
    refused(state_load(folder, rows, ROWS, &back), "still serves as --model");
    done(store_create_in(folder, "state.h5", &store));
    done(store_write(store, "format", STORE_INTEGERS, &format, 1, &one));
    done(store_close(store));
    refused(state_load(folder, rows, ROWS, &back), "is of format 3");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)
    const struct CMUnitTest tests[] = {
        TEST(rows_come_back_with_every_bit),
        TEST(an_empty_row_is_a_row),
        TEST(a_row_that_is_missing_is_named_unless_it_may_miss),
        TEST(another_type_or_count_is_refused),
        TEST(a_state_of_another_format_is_refused_in_one_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
