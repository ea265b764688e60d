/* The file of chosen algorithms: what was written is read, by another process too; what is damaged,
 * cut or another machine's is as good as none; several writers leave a whole file. */
#include "kernels/cuda/blas_cache.cuh"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/wait.h>

extern "C" {
#include <cmocka.h>
}

static const char identity[] = "NVIDIA H200 cublasLt 130100 driver 13000";
static char home[] = "/tmp/regard-blas-XXXXXX"; /* the cache is a folder in it, not there yet */

static struct blas_shape shape_of(int64_t rows)
{
    struct blas_shape s = {};
    s.rows = rows, s.columns = 1024, s.depth = 4096, s.element_bytes = 2;
    return s;
}

static void add(struct blas_cache *cache, int64_t rows, uint64_t algorithm)
{
    const struct blas_shape shape = shape_of(rows);
    const struct blas_algorithm chosen = {{algorithm, 1, 2, 3, 4, 5, 6, ~algorithm}};
    blas_cache_add(cache, &shape, &chosen);
}

/* The algorithm's number; 0: none */
static uint64_t found(const struct blas_cache *cache, int64_t rows)
{
    const struct blas_shape shape = shape_of(rows);
    const struct blas_algorithm *a = blas_cache_find(cache, &shape);
    if (a) assert_true(a->data[7] == ~a->data[0]);
    return a ? a->data[0] : 0;
}

static struct blas_cache opened(const char *of)
{
    struct blas_cache cache;
    blas_cache_open(&cache, of);
    return cache;
}

static void remove_all(void)
{
    char command[100];
    snprintf(command, sizeof command, "rm -rf %s/*", home);
    assert_int_equal(system(command), 0);
}

static int files(const struct blas_cache *cache)
{
    char folder[1024];
    snprintf(folder, sizeof folder, "%s", cache->path);
    *strrchr(folder, '/') = 0;
    DIR *entries = opendir(folder);
    int count = 0;
    assert_non_null(entries);
    for (struct dirent *e; (e = readdir(entries));) count += e->d_name[0] != '.';
    closedir(entries);
    return count;
}

static void what_was_chosen_is_read_again(void **)
{
    remove_all();
    struct blas_cache first = opened(identity);
    assert_int_equal(found(&first, 8), 0);
    add(&first, 8, 80);
    add(&first, 9, 90);
    struct blas_cache second = opened(identity), other = opened("another GPU");
    assert_int_equal(found(&second, 8), 80);
    assert_int_equal(found(&second, 9), 90);
    assert_int_equal(found(&second, 10), 0);
    assert_int_equal(found(&other, 8), 0);
    assert_string_equal(strrchr(first.path, '/'),
                        "/matmul-NVIDIA-H200-cublasLt-130100-driver-13000");
    assert_int_equal(files(&first), 1);
    blas_cache_close(&first);
    blas_cache_close(&second);
    blas_cache_close(&other);
}

static void a_damaged_or_foreign_file_is_as_good_as_none(void **)
{
    remove_all();
    struct blas_cache cache = opened(identity);
    add(&cache, 8, 80);
    add(&cache, 9, 90);
    static unsigned char whole[1024], changed[1024];
    FILE *file = fopen(cache.path, "rb");
    const size_t size = fread(whole, 1, sizeof whole, file);
    fclose(file);
    assert_int_equal(size, 256 + 2 * 128);
    for (size_t at = 0; at <= size; at++)
        for (int cut = 0; cut < 2;
             cut++) { /* a byte changed; the end missing, or a byte too much */
            memcpy(changed, whole, sizeof whole);
            if (!cut) changed[at] ^= 0x10;
            if (at == size && !cut) continue;
            file = fopen(cache.path, "wb");
            fwrite(changed, 1, cut ? (at == size ? size + 1 : at) : size, file);
            fclose(file);
            struct blas_cache read = opened(identity);
            if (read.count)
                fail_msg("byte %zu, %s: %d are read", at, cut ? "cut" : "changed", (int)read.count);
            blas_cache_close(&read);
        }
    add(&cache, 10, 100); /* replaces it */
    struct blas_cache read = opened(identity);
    assert_int_equal(read.count, 3);
    blas_cache_close(&read);
    /* The same file name, other words: of a GPU whose name differs in a dash alone. */
    struct blas_cache foreign = opened("NVIDIA-H200 cublasLt 130100 driver 13000");
    assert_string_equal(foreign.path, cache.path);
    assert_int_equal(foreign.count, 0);
    blas_cache_close(&foreign);
    blas_cache_close(&cache);
}

static void a_writer_keeps_what_others_have_added(void **)
{
    remove_all();
    struct blas_cache first = opened(identity), second = opened(identity);
    add(&first, 8, 80);
    add(&second, 9, 90);
    struct blas_cache read = opened(identity);
    assert_int_equal(found(&read, 8), 80);
    assert_int_equal(found(&read, 9), 90);
    assert_int_equal(found(&second, 8), 80); /* it has learned of it, too */
    blas_cache_close(&first);
    blas_cache_close(&second);
    blas_cache_close(&read);
}

static void several_writers_leave_a_whole_file(void **)
{
    enum { writers = 6, choices = 40 };
    remove_all();
    for (int w = 0; w < writers; w++)
        if (fork() == 0) {
            struct blas_cache cache = opened(identity);
            for (int i = 0; i < choices; i++) {
                add(&cache, 1 + w * choices + i, (uint64_t)(1000 + w * choices + i));
                struct blas_cache read = opened(identity); /* never a part */
                if (!read.count) _exit(1);
                blas_cache_close(&read);
            }
            _exit(0);
        }
    for (int w = 0; w < writers; w++) {
        int ended;
        assert_true(wait(&ended) > 0);
        assert_int_equal(ended, 0);
    }
    struct blas_cache cache = opened(identity);
    assert_in_range(cache.count, choices, writers * choices); /* the last one's at least */
    for (int i = 1; i <= writers * choices; i++)
        if (found(&cache, i)) assert_int_equal(found(&cache, i), 999 + i);
    assert_int_equal(files(&cache), 1);
    blas_cache_close(&cache);
}

static void without_a_place_choices_last_as_long_as_the_process(void **)
{
    setenv("XDG_CACHE_HOME", "/proc/nowhere", 1);
    struct blas_cache cache = opened(identity);
    add(&cache, 8, 80);
    assert_int_equal(found(&cache, 8), 80);
    blas_cache_close(&cache);
    setenv("XDG_CACHE_HOME", "relative", 1); /* to be ignored */
    cache = opened(identity);
    assert_non_null(strstr(cache.path, "/.cache/regard/"));
    blas_cache_close(&cache);
    unsetenv("HOME");
    cache = opened(identity);
    assert_string_equal(cache.path, "");
    add(&cache, 8, 80);
    blas_cache_close(&cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_chosen_is_read_again),
        cmocka_unit_test(a_damaged_or_foreign_file_is_as_good_as_none),
        cmocka_unit_test(a_writer_keeps_what_others_have_added),
        cmocka_unit_test(several_writers_leave_a_whole_file),
        cmocka_unit_test(without_a_place_choices_last_as_long_as_the_process),
    };
    char cache[100];
    assert_non_null(mkdtemp(home));
    snprintf(cache, sizeof cache, "%s/not/there", home);
    setenv("XDG_CACHE_HOME", cache, 1);
    setenv("HOME", home, 1);
    const int failed = cmocka_run_group_tests_name("blas_cache", tests, NULL, NULL);
    remove_all();
    rmdir(home);
    return failed;
}
