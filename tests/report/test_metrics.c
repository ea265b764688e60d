/* metrics.jsonl, TensorBoard's frames and the durations of the progress line. */
#include "src/base/file.h"
#include "src/base/log.h"
#include "src/base/memory.h"
#include "src/report/progress.h"
#include "src/report/tensorboard.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "event.pb-c.h"

static int folder_make(void **state)
{
    char pattern[] = "/tmp/regard-report-XXXXXX";
    *state = memory_text(mkdtemp(pattern));
    return 0;
}

static int folder_drop(void **state)
{
    status s = directory_remove(*state);
    free(*state);
    return s != NULL;
}

static void expect_file(const char *folder, const char *name, const char *wanted)
{
    char path[256], *data;
    size_t size;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_null(file_read(path, &data, &size));
    assert_string_equal(data, wanted);
    free(data);
}

static void metrics_of_steps_after_the_resumed_one_are_cut_off(void **state)
{
    struct metrics *metrics;
    assert_null(metrics_open(&metrics, *state, -1));
    for (int64_t step = 1; step <= 3; step++) {
        struct metric list[] = {{"loss", 0.5 * (double)step, NULL}, {"bad", NAN, NULL}};
        assert_null(metrics_write(metrics, step, list, 2));
    }
    assert_null(metrics_close(metrics));
    char path[256];
    snprintf(path, sizeof path, "%s/metrics.jsonl", (char *)*state);
    FILE *stream = fopen(path, "ab"); /* killed in the middle of a line */
    fputs("{\"step\":4,\"lo", stream);
    fclose(stream);
    assert_null(metrics_open(&metrics, *state, 2));
    struct metric again = {"loss", 7, "\"c0ffee\""};
    assert_null(metrics_write(metrics, 3, &again, 1));
    assert_null(metrics_close(metrics));
    expect_file(*state, "metrics.jsonl",
                "{\"step\":1,\"loss\":0.5,\"bad\":null}\n{\"step\":2,\"loss\":1.0,\"bad\":null}\n"
                "{\"step\":3,\"loss\":\"c0ffee\"}\n");
}

static uint64_t little_endian(const char *bytes, int count)
{
    uint64_t value = 0;
    for (int i = count - 1; i >= 0; i--) value = value << 8 | (unsigned char)bytes[i];
    return value;
}

static void tensorboard_frames_hold_events_and_good_checksums(void **state)
{
    struct tensorboard *board;
    assert_null(tensorboard_open(&board, *state));
    struct metric list[] = {{"reward/raw", 0.25, NULL},
                            {"policy_hash", NAN, "\"c0ffee\""}, /* no scalar: left out */
                            {"kl", -3, NULL},
                            {"skipped", 0, NULL}};
    assert_null(tensorboard_write(board, 12, list, 4));
    char *data;
    size_t size, at = 0;
    assert_null(file_read(tensorboard_path(board), &data, &size));
    assert_non_null(strstr(tensorboard_path(board), "/events.out.tfevents."));
    assert_null(tensorboard_close(board));
    for (int record = 0; record < 2; record++) {
        assert_true(at + 16 <= size);
        size_t length = little_endian(data + at, 8);
        assert_int_equal(little_endian(data + at + 8, 4), tensorboard_masked_crc(data + at, 8));
        assert_int_equal(little_endian(data + at + 12 + length, 4),
                         tensorboard_masked_crc(data + at + 12, length));
        Regard__Event *event = regard__event__unpack(NULL, length, (const uint8_t *)data + at + 12);
        assert_non_null(event);
        if (record == 0)
            assert_string_equal(event->file_version, "brain.Event:2");
        else {
            assert_int_equal(event->step, 12);
            assert_int_equal(event->summary->n_value, 3);
            assert_string_equal(event->summary->value[0]->tag, "reward/raw");
            assert_true(event->summary->value[0]->simple_value == 0.25f);
            assert_true(event->summary->value[1]->simple_value == -3.0f);
            /* A zero is there, not left out as proto3 would. */
            assert_int_equal(event->summary->value[2]->value_case,
                             REGARD__SUMMARY__VALUE__VALUE_SIMPLE_VALUE);
        }
        regard__event__free_unpacked(event, NULL);
        at += length + 16;
    }
    assert_int_equal(at, size);
    free(data);
}

static void a_run_folder_that_is_missing_is_an_error(void **unused)
{
    (void)unused;
    struct metrics *metrics;
    struct tensorboard *board;
    status s = metrics_open(&metrics, "/nowhere/at/all", -1);
    assert_int_equal(status_code(s), STATUS_INPUT);
    status_free(s);
    s = tensorboard_open(&board, "/nowhere/at/all");
    assert_int_equal(status_code(s), STATUS_INPUT);
    status_free(s);
}

static void durations_read_well(void **unused)
{
    (void)unused;
    char text[32];
    progress_duration(text, 12.2);
    assert_string_equal(text, "12s");
    progress_duration(text, 185);
    assert_string_equal(text, "3m05s");
    progress_duration(text, 3725);
    assert_string_equal(text, "1h02m");
}

/* What fills(context) writes to stderr; the caller frees it. */
static char *stderr_of(void (*fills)(void))
{
    char path[] = "/tmp/regard-stderr-XXXXXX", *text;
    size_t size;
    const int file = mkstemp(path), old = dup(STDERR_FILENO);
    assert_int_equal(dup2(file, STDERR_FILENO), STDERR_FILENO);
    fills();
    dup2(old, STDERR_FILENO);
    close(old);
    close(file);
    assert_null(file_read(path, &text, &size));
    unlink(path);
    return text;
}

static void three_steps(void)
{
    const struct metric list[] = {{"loss", 0.5, NULL}};
    struct progress progress;
    progress_begin(&progress, "sft", 0, 3, 2);
    for (int step = 1; step <= 3; step++) {
        progress_step(&progress, step, 2, 10, "learn 90%", list, 1);
        if (step == 1) log_line(LOG_INFO, "between");
    }
    progress_end();
}

static void progress_is_one_line_on_a_terminal_and_log_lines_elsewhere(void **unused)
{
    (void)unused;
    setenv("REGARD_TERMINAL", "24", 1);
    setenv("TERM", "xterm", 1);
    char *text = stderr_of(three_steps);
    assert_string_equal(text, "\r\033[Ksft 1/3 loss 0.5, 2.00 "
                              "\r\033[Kregard[0] info: between\nsft 1/3 loss 0.5, 2.00 "
                              "\r\033[Ksft 2/3 loss 0.5, 2.00 "
                              "\r\033[Ksft 3/3 loss 0.5, 2.00 \n");
    free(text);
    unsetenv("REGARD_TERMINAL");
    text = stderr_of(three_steps);
    assert_string_equal(
        text, "regard[0] info: between\n"
              "regard[0] info: sft 2/3 loss 0.5, 2.00 s, 5 tokens/s, 0s left; learn 90%\n"
              "regard[0] info: sft 3/3 loss 0.5, 2.00 s, 5 tokens/s, 0s left; learn 90%\n");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(metrics_of_steps_after_the_resumed_one_are_cut_off,
                                        folder_make, folder_drop),
        cmocka_unit_test_setup_teardown(tensorboard_frames_hold_events_and_good_checksums,
                                        folder_make, folder_drop),
        cmocka_unit_test(a_run_folder_that_is_missing_is_an_error),
        cmocka_unit_test(durations_read_well),
        cmocka_unit_test(progress_is_one_line_on_a_terminal_and_log_lines_elsewhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
