/* Copies of memory that changes as soon as live_copies_finish returns, made by several threads. */
#include "src/base/live_copies.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

enum { VECTORS = 4, THREADS = 3, ROUNDS = 20 };

/* None, one float, a piece and one that ends within a piece. */
static const int64_t sizes[VECTORS] = {0, 1, 1 << 20, (5 << 20) + 17};

static float value_of(int round, int vector, int64_t i)
{
    return (float)(round + 1) * 8 + (float)vector + (float)(i % 8191) / 8192;
}

static void *finish(void *copies)
{
    live_copies_finish(copies);
    return NULL;
}

static void copies_are_of_before_the_change(void **unused)
{
    (void)unused;
    float *from[VECTORS], *to[VECTORS];
    for (int v = 0; v < VECTORS; v++) {
        from[v] = calloc((size_t)sizes[v] + 1, sizeof **from);
        to[v] = calloc((size_t)sizes[v] + 1, sizeof **to);
        assert_true(from[v] && to[v]);
    }
    for (int round = 0; round < ROUNDS; round++) {
        struct live_copies copies = {.count = 0};
        pthread_t threads[THREADS];
        for (int v = 0; v < VECTORS; v++) {
            for (int64_t i = 0; i < sizes[v]; i++) from[v][i] = value_of(round, v, i);
            live_copies_add(&copies, from[v], to[v], sizes[v]);
        }
        for (int t = 0; t < THREADS; t++)
            assert_int_equal(pthread_create(&threads[t], NULL, finish, &copies), 0);
        live_copies_finish(&copies);
        for (int v = 0; v < VECTORS; v++)
            for (int64_t i = 0; i < sizes[v]; i++) from[v][i] = -1;
        for (int t = 0; t < THREADS; t++) assert_int_equal(pthread_join(threads[t], NULL), 0);
        for (int v = 0; v < VECTORS; v++) {
            for (int64_t i = 0; i < sizes[v]; i++)
                if (to[v][i] != value_of(round, v, i))
                    fail_msg("vector %d, float %lld: %g", v, (long long)i, (double)to[v][i]);
            assert_true(to[v][sizes[v]] == 0); /* nothing behind it */
        }
    }
    for (int v = 0; v < VECTORS; v++) {
        free(from[v]);
        free(to[v]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(copies_are_of_before_the_change)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
