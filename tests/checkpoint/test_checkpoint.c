/* Checkpoints: what is written comes back at any learner count; anything half, cut or
 * flipped is refused and the one before it is taken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "src/base/file.h"
#include "src/base/memory.h"
#include "src/checkpoint/checkpoint.h"
#include "src/model/t5/shape.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TOTAL = 37 };

#define GOOD(expression)                                                                           \
    do {                                                                                           \
        status good_ = (expression);                                                               \
        if (good_) fail_msg("%s: %s", #expression, status_message(good_));                         \
    } while (0)

static char run[64];

static int make_run(void **state)
{
    (void)state;
    strcpy(run, "/tmp/regard-checkpoint-XXXXXX");
    return mkdtemp(run) ? 0 : 1;
}

static int remove_run(void **state)
{
    (void)state;
    status s = directory_remove(run);
    status_free(s);
    return s ? 1 : 0;
}

static struct parameter list[2] = {{"shared.weight", 0, 12, 2, {4, 3}}, {"norm", 16, 5, 1, {5, 1}}};
static struct parameters parameters = {.list = list, .count = 2, .size = 21};
static const struct t5_shape shape = {
    .common = {.family = &family_t5, .vocabulary = 4, .width = 3, .end = 1}, .eps = 1e-6f};

static float value(int64_t step, int64_t i)
{
    return (float)step + (float)i * 0.37f;
}

static void write_step(int64_t step, int learners)
{
    static int64_t attempt;
    char folder[CHECKPOINT_PATH_MAX];
    float model[21] = {0}, vector[TOTAL];
    attempt = 0;
    GOOD(checkpoint_begin(run, step, &attempt));
    checkpoint_temporary(run, step, folder);
    for (int i = 0; i < 21; i++) model[i] = value(step, i);
    for (int i = 0; i < TOTAL; i++) vector[i] = value(step, 2 * i);
    GOOD(checkpoint_write_model(folder, &parameters, model, &shape.common));
    for (int l = 0; l < learners; l++) {
        int64_t begin = (int64_t)TOTAL * l / learners, end = (int64_t)TOTAL * (l + 1) / learners;
        struct checkpoint_vector v = {"moment", vector + begin, end - begin, TOTAL, begin};
        GOOD(checkpoint_write_slice(folder, l, learners, &v, 1));
    }
    struct checkpoint_file *files;
    int64_t count;
    GOOD(checkpoint_list_files(folder, &files, &count));
    GOOD(checkpoint_publish(run, step, attempt, files, count));
    free(files);
}

static void check_step(int64_t step)
{
    char folder[CHECKPOINT_PATH_MAX];
    struct model_shape *back;
    float model[21], *vector;
    int64_t total;
    checkpoint_folder(run, step, folder);
    GOOD(checkpoint_verify(folder, NULL));
    GOOD(checkpoint_read_shape(folder, &back));
    assert_memory_equal(back, &shape, sizeof shape);
    free(back);
    GOOD(checkpoint_read_model(folder, &parameters, model));
    for (int i = 0; i < 21; i++)
        if (i < 12 || i >= 16) assert_true(model[i] == value(step, i));
    GOOD(checkpoint_read_vector(folder, "moment", &vector, &total));
    assert_int_equal(total, TOTAL);
    for (int i = 0; i < TOTAL; i++) assert_true(vector[i] == value(step, 2 * i));
    free(vector);
}

static void slices_of_any_learner_count_give_the_whole_vector(void **state)
{
    (void)state;
    for (int learners = 1; learners <= 4; learners *= 2) {
        write_step(learners, learners);
        check_step(learners);
    }
    write_step(4, 2); /* replaces */
    check_step(4);
}

static void a_half_written_folder_is_ignored(void **state)
{
    (void)state;
    char folder[CHECKPOINT_PATH_MAX];
    int64_t step, attempt = 0;
    GOOD(checkpoint_newest(run, false, folder, &step));
    assert_int_equal(step, -1);
    GOOD(checkpoint_begin(run, 20, &attempt));
    GOOD(checkpoint_newest(run, false, folder, &step));
    assert_int_equal(step, -1);
    write_step(10, 1);
    GOOD(checkpoint_newest(run, false, folder, &step));
    assert_int_equal(step, 10);
}

/* Steps 5 and 10; path: the newer one's model. */
static void two_steps(char path[CHECKPOINT_PATH_MAX + 64])
{
    char folder[CHECKPOINT_PATH_MAX];
    write_step(5, 2);
    write_step(10, 2);
    checkpoint_folder(run, 10, folder);
    snprintf(path, CHECKPOINT_PATH_MAX + 64, "%s/model.h5", folder);
}

static void a_broken_one_is_set_aside_and_when_none_is_left_that_is_an_error(void **state)
{
    (void)state;
    char folder[CHECKPOINT_PATH_MAX], path[CHECKPOINT_PATH_MAX + 64];
    int64_t step;
    two_steps(path);
    assert_int_equal(truncate(path, 100), 0);
    GOOD(checkpoint_newest(run, true, folder, &step));
    assert_int_equal(step, 5);
    checkpoint_folder(run, 10, folder);
    assert_true(directory_exists(folder)); /* a look renames nothing */
    GOOD(checkpoint_newest(run, false, folder, &step));
    assert_int_equal(step, 5);
    snprintf(path, sizeof path, "%s/checkpoints/step-000010.bad", run);
    assert_true(directory_exists(path));
    snprintf(path, sizeof path, "%s/manifest.json", folder);
    assert_int_equal(unlink(path), 0);
    for (int again = 0; again < 3; again++) {
        status s = checkpoint_newest(run, again == 0, folder, &step);
        assert_non_null(s);
        assert_non_null(strstr(status_message(s), "none of which verifies"));
        status_free(s);
    }
}

/* A file that cannot be opened is not a damaged one. */
static void what_cannot_be_opened_is_not_set_aside(void **state)
{
    (void)state;
    char folder[CHECKPOINT_PATH_MAX], path[CHECKPOINT_PATH_MAX + 64];
    int64_t step;
    two_steps(path);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(symlink("model.h5", path),
                     0); /* a link to itself, which root cannot open either */
    status s = checkpoint_newest(run, false, folder, &step);
    assert_non_null(s);
    assert_non_null(strstr(status_message(s), "step-000010/model.h5: Too many levels"));
    status_free(s);
    checkpoint_folder(run, 10, folder);
    assert_true(directory_exists(folder));
    assert_int_equal(unlink(path), 0); /* one that is gone is */
    GOOD(checkpoint_newest(run, false, folder, &step));
    assert_int_equal(step, 5);
}

static void flip(const char *path, size_t bit)
{
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    fseek(file, (long)(bit / 8), SEEK_SET);
    int byte = fgetc(file);
    fseek(file, (long)(bit / 8), SEEK_SET);
    fputc(byte ^ (1 << bit % 8), file);
    fclose(file);
}

static void no_flipped_bit_and_no_cut_file_verifies(void **state)
{
    (void)state;
    static const char *const names[] = {"manifest.json", "model.h5", "learner-0000-of-0001.h5"};
    char folder[CHECKPOINT_PATH_MAX], path[CHECKPOINT_PATH_MAX + 64], *data;
    uint32_t random = 12345;
    write_step(3, 1);
    checkpoint_folder(run, 3, folder);
    for (int i = 0; i < 200; i++) {
        size_t size;
        snprintf(path, sizeof path, "%s/%s", folder, names[i % 3]);
        GOOD(file_read(path, &data, &size));
        random = random * 1664525u + 1013904223u;
        size_t place = (random >> 4) % (size * 8);
        flip(path, place);
        status s = checkpoint_verify(folder, NULL);
        if (!s) fail_msg("%s: bit %zu flipped and verified", names[i % 3], place);
        status_free(s);
        flip(path, place);
        if (i % 20 < 4) {
            assert_int_equal(truncate(path, (off_t)(place / 8)), 0);
            s = checkpoint_verify(folder, NULL);
            if (!s) fail_msg("%s: cut at %zu and verified", names[i % 3], place / 8);
            status_free(s);
            GOOD(file_write(path, data, size));
        }
        free(data);
    }
    check_step(3);
}

static void a_part_that_the_manifest_does_not_list_is_refused(void **state)
{
    (void)state;
    char folder[CHECKPOINT_PATH_MAX], path[CHECKPOINT_PATH_MAX + 64];
    write_step(3, 1);
    checkpoint_folder(run, 3, folder);
    snprintf(path, sizeof path, "%s/learner-0001-of-0002.h5", folder);
    GOOD(file_write(path, "x", 1));
    status s = checkpoint_verify(folder, NULL);
    assert_non_null(strstr(status_message(s), "does not list"));
    status_free(s);
}

static void a_foreign_file_is_ignored(void **state)
{
    (void)state;
    static const char *const names[] = {"eval.json", ".nfs0001", ".DS_Store", "notes"};
    char folder[CHECKPOINT_PATH_MAX], path[CHECKPOINT_PATH_MAX + 64];
    int64_t step;
    write_step(3, 2);
    checkpoint_folder(run, 3, folder);
    for (int i = 0; i < 4; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        GOOD(file_write(path, "x", 1));
    }
    check_step(3);
    GOOD(checkpoint_newest(run, false, folder, &step));
    assert_int_equal(step, 3);
}

/* What checkpoints/NAME points to; empty: it is not there. */
static const char *linked(const char *name)
{
    static char target[64];
    char path[CHECKPOINT_PATH_MAX];
    snprintf(path, sizeof path, "%s/checkpoints/%s", run, name);
    const ssize_t length = readlink(path, target, sizeof target - 1);
    target[length < 0 ? 0 : length] = 0;
    return target;
}

static void links_name_a_step_and_go_with_it(void **state)
{
    (void)state;
    char folder[CHECKPOINT_PATH_MAX], tmp[CHECKPOINT_PATH_MAX];
    int64_t *steps, count;
    write_step(2, 1);
    write_step(4, 1);
    GOOD(checkpoint_link(run, CHECKPOINT_BEST, -1));
    assert_string_equal(linked("best"), "");
    GOOD(checkpoint_link(run, CHECKPOINT_BEST, 2));
    assert_string_equal(linked("best"), "step-000002");
    snprintf(tmp, sizeof tmp, "%s/checkpoints/best.tmp", run);
    assert_int_equal(symlink("of a killed job", tmp), 0);
    GOOD(checkpoint_link(run, CHECKPOINT_BEST, 4));
    assert_string_equal(linked("best"), "step-000004");
    assert_string_equal(linked("best.tmp"), "");
    snprintf(folder, sizeof folder, "%s/checkpoints/best", run);
    GOOD(checkpoint_verify(folder, NULL));
    GOOD(checkpoint_steps(run, &steps, &count));
    assert_int_equal(count, 2);
    free(steps);
    GOOD(checkpoint_link(run, CHECKPOINT_BEST, 6));
    assert_string_equal(linked("best"), "");
}

static void a_job_that_was_overtaken_may_not_publish(void **state)
{
    (void)state;
    int64_t old = 0, newer = 0;
    GOOD(checkpoint_begin(run, 8, &old));
    GOOD(checkpoint_begin(run, 8, &newer));
    status s = checkpoint_publish(run, 8, old, NULL, 0);
    assert_non_null(strstr(status_message(s), "another job"));
    status_free(s);
    s = checkpoint_begin(run, 9, &old);
    assert_non_null(s);
    status_free(s);
    GOOD(checkpoint_begin(run, 9, &newer));
}

static void a_failed_save_takes_its_files_away_but_not_another_jobs(void **state)
{
    (void)state;
    char folder[CHECKPOINT_PATH_MAX];
    int64_t old = 0, newer = 0;
    checkpoint_temporary(run, 9, folder);
    GOOD(checkpoint_begin(run, 9, &old));
    GOOD(checkpoint_begin(run, 9, &newer));
    checkpoint_abandon(run, 9, old);
    assert_true(directory_exists(folder));
    checkpoint_abandon(run, 9, newer);
    assert_false(directory_exists(folder));
    checkpoint_abandon(run, 9, newer); /* nothing there: nothing said */
}

static void what_killed_jobs_left_half_done_goes_at_the_next_jobs_first_save(void **state)
{
    (void)state;
    static const char *const names[] = {"step-000004.tmp", "step-000002.tmp",
                                        "step-000004.old.tmp"};
    char path[CHECKPOINT_PATH_MAX];
    write_step(5, 1);
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/checkpoints/%s", run, names[i]);
        GOOD(directory_create(path));
    }
    write_step(6, 1);
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/checkpoints/%s", run, names[i]);
        if (directory_exists(path)) fail_msg("%s is still there", path);
    }
    check_step(5);
    check_step(6);
}

static void prune_keeps_the_last_and_the_best(void **state)
{
    (void)state;
    int64_t *steps, count;
    for (int64_t step = 1; step <= 6; step++) write_step(step, 1);
    GOOD(checkpoint_prune(run, 3, 2));
    GOOD(checkpoint_steps(run, &steps, &count));
    assert_int_equal(count, 4);
    assert_true(steps[0] == 2 && steps[1] == 4 && steps[2] == 5 && steps[3] == 6);
    free(steps);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_run, remove_run)
    const struct CMUnitTest tests[] = {
        TEST(slices_of_any_learner_count_give_the_whole_vector),
        TEST(a_half_written_folder_is_ignored),
        TEST(a_broken_one_is_set_aside_and_when_none_is_left_that_is_an_error),
        TEST(what_cannot_be_opened_is_not_set_aside),
        TEST(no_flipped_bit_and_no_cut_file_verifies),
        TEST(a_part_that_the_manifest_does_not_list_is_refused),
        TEST(a_foreign_file_is_ignored),
        TEST(links_name_a_step_and_go_with_it),
        TEST(a_job_that_was_overtaken_may_not_publish),
        TEST(a_failed_save_takes_its_files_away_but_not_another_jobs),
        TEST(what_killed_jobs_left_half_done_goes_at_the_next_jobs_first_save),
        TEST(prune_keeps_the_last_and_the_best),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
