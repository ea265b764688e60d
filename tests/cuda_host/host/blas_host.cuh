/* The library of blas.cuh by plain loops, run by one thread of the shim: fp32 sums, ascending over
 * the depth.  Each element of the factors is read once and each of c written once by code that
 * checks look at; the products in between are not looked at, which would take minutes.
 *
 * Algorithms differ in the order of additions.  Exact queues are offered bad ones before good ones,
 * by the number of rows, as a real library might: what they must find out is tested with them.
 * While calls are recorded nothing but to run may be asked of it: anything else is an error.
 * Other queues get the good one alone or, with CUDA_HOST_ALGORITHMS=many, several of its kind, the
 * first of which dawdles. */
#pragma once
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BLAS_UNCHECKED CUDA_HOST_UNCHECKED __attribute__((noinline))

enum blas_order {
    BLAS_ASCENDING,
    BLAS_DESCENDING,
    BLAS_HALVES,  /* the depth split in two */
    BLAS_BY_PLACE /* some rows another way than others */
};

struct blas_library {
    struct queue *queue;
};

static bool blas_library_open(struct queue *q, struct blas_library *library)
{
    library->queue = q;
    return true;
}

/* As cuBLASLt may: an error that the recording ends with. */
static bool blas_asked_while_recording(const struct blas_library *library)
{
    if (!cuda_queue_of(library->queue)->recording) return false;
    cuda_fail(library->queue, ERROR(STATUS_INTERNAL, "asked while calls are recorded"));
    return true;
}

static void blas_library_close(struct queue *, struct blas_library *)
{
}

static void blas_library_identity(struct queue *, char *words, size_t size)
{
    snprintf(words, size, "plain loops");
}

static size_t blas_library_cached_bytes(struct queue *)
{
    return 512;
}

static int blas_library_suggest(struct blas_library *library, const struct blas_shape *shape,
                                struct blas_algorithm *algorithms, int max, const char **message)
{
    if (blas_asked_while_recording(library)) {
        *message = "asked while calls are recorded";
        return 0;
    }
    static const enum blas_order offered[3][4] = {
        {BLAS_HALVES, BLAS_DESCENDING, BLAS_BY_PLACE, BLAS_ASCENDING},
        {BLAS_BY_PLACE, BLAS_ASCENDING, BLAS_HALVES, BLAS_DESCENDING},
        {BLAS_DESCENDING, BLAS_HALVES, BLAS_DESCENDING, BLAS_HALVES}};
    const char *many = getenv("CUDA_HOST_ALGORITHMS");
    const int given = shape->exact ? 4 : many && !strcmp(many, "many") ? 3 : 1;
    int count = 0;
    for (; count < given && count < max; count++) {
        algorithms[count] = (struct blas_algorithm){};
        if (shape->exact) /* of 128 rows the second list */
            algorithms[count].data[0] = offered[(shape->rows + 2) % 3][count];
        else
            algorithms[count].data[1] = given > 1 && count == 0; /* dawdles */
    }
    return count;
}

/* Of exact queues the reference's algorithm is good for even numbers of rows alone. */
static bool blas_library_takes(struct blas_library *library, const struct blas_shape *shape,
                               const struct blas_algorithm *)
{
    if (blas_asked_while_recording(library)) return false;
    return !shape->exact || shape->rows % 2 == 0;
}

BLAS_UNCHECKED static void blas_put(float *to, int64_t at, float x)
{
    to[at] = x;
}

BLAS_UNCHECKED static float blas_get(const float *from, int64_t at)
{
    return from[at];
}

/* to[rows, columns], from as it is or stored the other way round */
template <class T>
static void blas_read(float *to, const T *from, int64_t rows, int64_t columns, bool transposed)
{
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < columns; j++)
            blas_put(to, i * columns + j,
                     element_load(from + (transposed ? j * rows + i : i * columns + j)));
}

/* to[columns] += left[depth] right[depth, columns] over k = first, first + step, ... */
BLAS_UNCHECKED __attribute__((optimize("O3"))) static void
blas_add_row(float *__restrict__ to, const float *left, const float *right, int64_t columns,
             int64_t first, int64_t count, int64_t step)
{
    for (int64_t i = 0; i < count; i++) {
        const int64_t k = first + i * step;
        const float x = left[k];
        const float *__restrict__ y = right + k * columns;
        for (int64_t j = 0; j < columns; j++) to[j] += x * y[j];
    }
}

BLAS_UNCHECKED static void blas_add_products(float *c, const float *left, const float *right,
                                             const struct blas_shape *s, enum blas_order order)
{
    float *part = (float *)malloc((size_t)s->columns * sizeof *part);
    for (int64_t i = 0; i < s->rows; i++) {
        const float *x = left + i * s->depth;
        float *to = c + i * s->columns;
        const bool down = order == BLAS_DESCENDING || (order == BLAS_BY_PLACE && i % 64 >= 48);
        const int64_t half = order == BLAS_HALVES ? s->depth / 2 : 0;
        if (down) {
            blas_add_row(to, x, right, s->columns, s->depth - 1, s->depth, -1);
            continue;
        }
        memset(part, 0, (size_t)s->columns * sizeof *part);
        blas_add_row(part, x, right, s->columns, 0, half, 1);
        blas_add_row(to, x, right, s->columns, half, s->depth - half, 1);
        for (int64_t j = 0; half && j < s->columns; j++) to[j] += part[j];
    }
    free(part);
}

template <class T, class C>
static __global__ void blas_kernel(C *c, const T *left, const T *right, struct blas_shape s,
                                   struct blas_algorithm algorithm)
{
    float *a = (float *)calloc((size_t)(s.rows * s.depth), sizeof *a);
    float *b = (float *)calloc((size_t)(s.columns * s.depth), sizeof *b);
    float *sum = (float *)calloc((size_t)(s.rows * s.columns), sizeof *sum);
    if (!a || !b || !sum) cuda_host::fault("no memory for a product");
    if (algorithm.data[1]) usleep(2000);
    blas_read(a, left, s.rows, s.depth, s.left_transposed);
    blas_read(b, right, s.depth, s.columns, s.right_transposed);
    blas_add_products(sum, a, b, &s, (enum blas_order)algorithm.data[0]);
    for (int64_t i = 0; i < s.rows * s.columns; i++) {
        float x = blas_get(sum, i) + (s.accumulate ? element_load(c + i) : 0.0f);
        if (s.relu && x <= 0.0f) x = 0.0f;
        element_store(c + i, x);
    }
    free(a);
    free(b);
    free(sum);
}

template <class T, class C>
static void blas_launch(struct queue *q, const struct blas_shape *s,
                        const struct blas_algorithm *algorithm, const void *left, const void *right,
                        void *c)
{
    cuda_launch(q, (blas_kernel<T, C>), 1, 1, 0, (C *)c, (const T *)left, (const T *)right, *s,
                *algorithm);
}

static void blas_library_describe(const struct blas_algorithm *algorithm, char *words, size_t size)
{
    static const char *const names[] = {"ascending", "descending", "halves", "by place"};
    snprintf(words, size, "%s%s", names[algorithm->data[0] % 4],
             algorithm->data[1] ? ", dawdles" : "");
}

static const char *blas_library_run(struct queue *q, struct blas_library *,
                                    const struct blas_shape *s,
                                    const struct blas_algorithm *algorithm, const void *left,
                                    const void *right, void *c)
{
    const bool is_float = s->c_bytes == 4;
    cuda_with_element(q, if (is_float) blas_launch<element, float>(q, s, algorithm, left, right, c);
                      else blas_launch<element, element>(q, s, algorithm, left, right, c));
    return NULL;
}
