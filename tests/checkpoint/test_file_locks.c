/* A file system without locks, as clusters have: here flock refuses as it does there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "src/base/file.h"
#include "src/checkpoint/store.h"

#include <errno.h>
#include <hdf5.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>

/* In the place of the C library's, for HDF5 too. */
int flock(int descriptor, int operation)
{
    (void)descriptor, (void)operation;
    errno = ENOLCK;
    return -1;
}

static void files_are_written_and_read_where_nothing_can_be_locked(void **unused)
{
    (void)unused;
    char folder[] = "/tmp/regard-locks-XXXXXX", path[64];
    const double written[2] = {1.5, -2};
    double got[2] = {0};
    const int64_t count = 2;
    struct store *store;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/file.h5", folder);
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    assert_true(H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT) < 0); /* by default not */
    assert_null(store_create(path, &store));
    assert_null(store_write(store, "values", STORE_DOUBLES, written, 1, &count));
    assert_null(store_close(store));
    assert_null(store_open(path, &store));
    assert_null(store_read(store, "values", STORE_DOUBLES, got));
    assert_null(store_close(store));
    assert_memory_equal(got, written, sizeof got);
    assert_null(directory_remove(folder));
}

int main(void)
{
    unsetenv("HDF5_USE_FILE_LOCKING");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_are_written_and_read_where_nothing_can_be_locked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
