/* Lines in three parts: by the line and the seed alone, whole, and none lost. */
#include "src/data/split.h"

#include "src/base/memory.h"
#include "tests/data/text_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct split_settings settings_of(int64_t seed)
{
    return (struct split_settings){.seed = seed, .share = {0.8, 0.1, 0.1}, .by = ""};
}

static enum split_part part_of(const struct split_settings *settings, const char *line)
{
    enum split_part part;
    status s = split_part_of(settings, line, strlen(line), "x:1", &part);
    if (s) fail_msg("%s", status_message(s));
    return part;
}

/* What each part gets; counts as split_lines gives them. */
static status split_text(const struct split_settings *settings, const char *path,
                         char *texts[SPLIT_PARTS], struct split_counts *counts)
{
    FILE *out[SPLIT_PARTS];
    size_t sizes[SPLIT_PARTS];
    for (int p = 0; p < SPLIT_PARTS; p++) out[p] = memory_stream(&texts[p], &sizes[p]);
    status s = split_lines(settings, path, out, counts);
    for (int p = 0; p < SPLIT_PARTS; p++) memory_stream_close(out[p]);
    return s;
}

static void texts_free(char *texts[SPLIT_PARTS])
{
    for (int p = 0; p < SPLIT_PARTS; p++) free(texts[p]);
}

/* printf '1\n{"a":1}' | sha256sum begins with 7e0902b045061: 0.4923 of all. */
static void the_part_is_the_hash_s(void **state)
{
    (void)state;
    struct split_settings settings = settings_of(1);
    const double place = (double)0x7e0902b045061 * 0x1p-52;
    settings.share[SPLIT_TRAIN] = place;
    settings.share[SPLIT_VALID] = 1e-6;
    settings.share[SPLIT_TEST] = 1 - place - 1e-6;
    assert_int_equal(part_of(&settings, "{\"a\":1}"), SPLIT_VALID);
    settings.share[SPLIT_TRAIN] += 1e-15;
    assert_int_equal(part_of(&settings, "{\"a\":1}"), SPLIT_TRAIN);
}

static void shares_are_kept_and_lines_whole(void **state)
{
    (void)state;
    const struct split_settings settings = settings_of(5);
    struct split_counts counts;
    char *texts[SPLIT_PARTS];
    assert_null(split_text(&settings, "synthetic:1:4000", texts, &counts));
    /* four standard deviations of a count of 400 or 3,200 */
    assert_in_range(counts.lines[SPLIT_TRAIN], 3200 - 101, 3200 + 101);
    assert_in_range(counts.lines[SPLIT_VALID], 400 - 76, 400 + 76);
    assert_int_equal(
        counts.lines[SPLIT_TRAIN] + counts.lines[SPLIT_VALID] + counts.lines[SPLIT_TEST], 4000);
    /* each line of each part belongs there */
    for (int p = 0; p < SPLIT_PARTS; p++) {
        int64_t lines = 0;
        for (char *line = strtok(texts[p], "\n"); line; line = strtok(NULL, "\n"), lines++)
            assert_int_equal(part_of(&settings, line), p);
        assert_int_equal(lines, counts.lines[p]);
    }
    texts_free(texts);
}

static void other_seeds_part_otherwise(void **state)
{
    (void)state;
    const struct split_settings one = settings_of(1), other = settings_of(2);
    int64_t moved = 0;
    for (int i = 0; i < 1000; i++) {
        char line[32];
        snprintf(line, sizeof line, "{\"a\":%d}", i);
        moved += part_of(&one, line) != part_of(&other, line);
    }
    assert_in_range(moved, 280, 400); /* 340 of two independent draws */
}

static void bytes_stay_and_equal_lines_stay_together(void **state)
{
    (void)state;
    const struct split_settings all = {.seed = 1, .share = {1, 0, 0}, .by = ""};
    const char *text = "{\"a\": 1}\r\n\n  {\"b\":\"\\u00e9\xc3\xa9\"}\n{\"a\": 1}";
    char path[TEXT_FILE_PATH], *texts[SPLIT_PARTS];
    struct split_counts counts;
    text_file(text, path);
    assert_null(split_text(&all, path, texts, &counts));
    assert_string_equal(texts[SPLIT_TRAIN],
                        "{\"a\": 1}\r\n  {\"b\":\"\\u00e9\xc3\xa9\"}\n{\"a\": 1}\n");
    assert_int_equal(counts.lines[SPLIT_TRAIN], 3);
    texts_free(texts);
    unlink(path);
    const struct split_settings settings = settings_of(3);
    for (int i = 0; i < 200; i++) {
        char line[40], blanks[40];
        snprintf(line, sizeof line, "{\"a\":%d}", i);
        snprintf(blanks, sizeof blanks, " {\"a\":%d} \r", i);
        assert_int_equal(part_of(&settings, line), part_of(&settings, blanks));
    }
}

static void a_field_keeps_lines_together(void **state)
{
    (void)state;
    struct split_settings settings = settings_of(3);
    int64_t apart = 0;
    for (int i = 0; i < 200; i++) {
        char line[64], other[64];
        snprintf(line, sizeof line, "{\"m\":[{\"r\":%d,\"s\":1}],\"c\":1}", i);
        snprintf(other, sizeof other, "{\"c\":2, \"m\": [{\"s\":1,\"r\":%d}]}", i);
        settings.by = "m";
        assert_int_equal(part_of(&settings, line), part_of(&settings, other));
        settings.by = "";
        apart += part_of(&settings, line) != part_of(&settings, other);
    }
    assert_true(apart > 20);
    enum split_part part;
    settings.by = "id";
    status s = split_part_of(&settings, "{\"m\":1}", 7, "x:7", &part);
    assert_string_equal(status_message(s), "x:7: no \"id\", which split.by names");
    status_free(s);
}

static void an_empty_part_is_refused(void **state)
{
    (void)state;
    const struct split_settings settings = {.seed = 1, .share = {0.9999, 0.0001, 0}, .by = ""};
    char path[TEXT_FILE_PATH], *texts[SPLIT_PARTS];
    struct split_counts counts;
    text_file("{\"a\":1}\n{\"a\":2}\n", path);
    status s = split_text(&settings, path, texts, &counts);
    unlink(path);
    assert_non_null(s);
    assert_non_null(strstr(status_message(s), "none of its 2 lines falls to valid"));
    status_free(s);
    texts_free(texts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_part_is_the_hash_s),
                                       cmocka_unit_test(shares_are_kept_and_lines_whole),
                                       cmocka_unit_test(other_seeds_part_otherwise),
                                       cmocka_unit_test(bytes_stay_and_equal_lines_stay_together),
                                       cmocka_unit_test(a_field_keeps_lines_together),
                                       cmocka_unit_test(an_empty_part_is_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
