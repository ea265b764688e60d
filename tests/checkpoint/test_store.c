/* Datasets of up to four dimensions come back as they were, large ones in pieces too; errors leave
 * nothing behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "src/base/heartbeat.h"
#include "src/base/memory.h"
#include "src/checkpoint/store.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static void four_dimensions(void **state)
{
    (void)state;
    char path[] = "/tmp/regard-store-XXXXXX";
    const int64_t shape[STORE_RANK_MAX] = {2, 3, 1, 4}, two[2] = {4, 6};
    float written[24], got[24];
    int64_t seen[STORE_RANK_MAX];
    int rank;
    struct store *store;
    for (int i = 0; i < 24; i++) written[i] = (float)i / 3;
    const int descriptor = mkstemp(path);
    assert_true(descriptor >= 0);
    close(descriptor);
    assert_null(store_create(path, &store));
    assert_null(store_write(store, "map", STORE_FLOATS, written, 4, shape));
    assert_null(store_write(store, "matrix", STORE_FLOATS, written, 2, two));
    assert_null(store_close(store));
    assert_null(store_open(path, &store));
    assert_null(store_shape(store, "map", STORE_FLOATS, &rank, seen));
    assert_int_equal(rank, 4);
    assert_memory_equal(seen, shape, sizeof shape);
    assert_null(store_read(store, "map", STORE_FLOATS, got));
    assert_memory_equal(got, written, sizeof written);
    assert_null(store_shape(store, "matrix", STORE_FLOATS, &rank, seen));
    assert_int_equal(rank, 2);
    assert_true(seen[0] == 4 && seen[1] == 6 && seen[2] == 1 && seen[3] == 1);
    assert_null(store_close(store));
    unlink(path);
}

static void fill(unsigned char *values, size_t size, uint32_t seed)
{
    for (size_t i = 0; i < size; i++) {
        seed = seed * 1664525u + 1013904223u;
        values[i] = (unsigned char)(seed >> 24);
    }
}

/* A piece is 16 MiB.  One that ends in a row, whole rows, rows that are longer than a piece; each
 * is progress that the watchdog sees. */
static void large_ones_go_in_pieces(void **state)
{
    (void)state;
    enum { SIZE = 3 << 24 };
    static const int64_t shapes[][STORE_RANK_MAX] = {
        {SIZE, 1, 1, 1}, {3, 1 << 20, 4, 4}, {7, 1, SIZE / 7 / 3, 3}, {1, 2, 5, SIZE / 10}};
    static const int ranks[] = {1, 4, 4, 4};
    char path[] = "/tmp/regard-store-XXXXXX";
    unsigned char *written = memory_allocate(SIZE), *got = memory_allocate(SIZE);
    const int descriptor = mkstemp(path);
    assert_true(descriptor >= 0);
    close(descriptor);
    for (int i = 0; i < 4; i++) {
        const size_t size = (size_t)(shapes[i][0] * shapes[i][1] * shapes[i][2] * shapes[i][3]);
        struct store *store;
        fill(written, size, (uint32_t)i);
        memset(got, 0, size);
        assert_null(store_create(path, &store));
        int64_t notes = heartbeat_count();
        assert_null(store_write(store, "values", STORE_BYTES, written, ranks[i], shapes[i]));
        assert_true(heartbeat_count() >= notes + 3);
        notes = heartbeat_count();
        assert_null(store_close(store));
        assert_true(heartbeat_count() >= notes + 3);
        assert_null(store_open(path, &store));
        notes = heartbeat_count();
        assert_null(store_read(store, "values", STORE_BYTES, got));
        assert_true(heartbeat_count() >= notes + 3);
        assert_null(store_close(store));
        assert_true(memcmp(got, written, size) == 0);
    }
    unlink(path);
    free(written);
    free(got);
}

/* A dataset and its file, to a disk that has no room for either. */
static void *write_in_vain(void *path)
{
    enum { COUNT = 1 << 18 };
    float *values = memory_allocate(COUNT * sizeof *values);
    const int64_t shape = COUNT;
    struct store *store;
    status s = store_create(path, &store);
    if (!s) s = store_write(store, "values", STORE_FLOATS, values, 1, &shape);
    s = store_close_after(store, s);
    free(values);
    return s;
}

/* HDF5 has a thread's errors in memory of the thread: LeakSanitizer sees whether they stay. */
static void errors_end_with_their_thread(void **state)
{
    (void)state;
    char path[] = "/tmp/regard-store-XXXXXX";
    struct rlimit before, small;
    pthread_t thread;
    void *error = NULL;
    const int descriptor = mkstemp(path);
    assert_true(descriptor >= 0);
    close(descriptor);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = (struct rlimit){.rlim_cur = 4096, .rlim_max = before.rlim_max};
    assert_true(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    assert_int_equal(pthread_create(&thread, NULL, write_in_vain, path), 0);
    assert_int_equal(pthread_join(thread, &error), 0);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    unlink(path);
    assert_non_null(error);
    assert_non_null(strstr(status_message(error), "File too large"));
    status_free(error);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(four_dimensions),
                                       cmocka_unit_test(large_ones_go_in_pieces),
                                       cmocka_unit_test(errors_end_with_their_thread)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
