/* What the tests of the operations share: the queues to hold against one another, arrays with
 * guard bytes round them, random values, comparisons that print what they saw.  Environment:
 *   REGARD_TEST_DEVICE=cuda   queues of the CUDA module instead of the CPU's
 *   REGARD_TEST_ORDERS        one queue for each word, run by the shim in that order of threads
 *   REGARD_TEST_REAL=bf16     bf16 activations: inputs are bf16 numbers, comparisons allow for one
 *                             rounding of the result
 *   REGARD_TEST_EXACT=1       exact queues
 *   REGARD_TEST_TUNE=1        queues whose products try several algorithms */
#ifndef REGARD_TESTS_KERNEL_TEST_H
#define REGARD_TESTS_KERNEL_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/load.h"
#include "kernels/ops.h"

enum { guard_bytes = 256, guard_value = 0xA5 };

/* The queues to hold against one another: of the CPU, each instruction set of this machine with 1,
 * 2 and 3 threads, the first plain C with one thread; of CUDA, one for each order of threads. */
struct queues {
    bool cuda;
    int count;
    struct queue *q[9];
    char name[9][32];
};

/* What the environment asks for. */
bool real_is_bf16(void);
bool on_cuda(void);

struct queues queues_new(void);
/* Fails the test with an error that a queue kept, or with device memory that was not released. */
void queues_free(struct queues *all);
/* Fails the test with the queue's error, if it kept one. */
void queue_check(struct queue *q);

/* An array of `bytes` with guard bytes on both sides, itself full of NaNs so that what is not
 * written is seen. */
void *guarded_new(size_t bytes);
float *floats_new(int64_t count);
/* Fails the test where a guard byte was written; what: the array's name in that message. */
void guarded_check(const void *memory, const char *what);
void guarded_free(void *memory, const char *what);

/* A number in [0, 1) from a counter: SplitMix64's finalizer. */
double uniform_at(uint64_t seed, uint64_t i);
/* Uniform in [-size, size); numbers that bf16 has where `real` is that. */
void fill_random(float *x, int64_t count, uint64_t seed, double size);
float *random_new(int64_t count, uint64_t seed, double size);

/* |x - want| <= absolute + relative * |want| everywhere; NaN fails.  A bf16 result may be a
 * rounding to 8 bits away from that. */
void check_close(const float *x, const double *want, int64_t count, double absolute,
                 double relative, const char *what);
void check_bits(const void *x, const void *want, int64_t count, const char *what);

#endif
