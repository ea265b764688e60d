/* Datasets of up to four dimensions come back as they were. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "src/checkpoint/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(four_dimensions)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
