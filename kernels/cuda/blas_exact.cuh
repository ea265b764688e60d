/* Exact queues: a row's bits do not depend on how many rows there are.
 *
 * cuBLASLt chooses by shape, rows among them, and nothing that it documents says that two of its
 * algorithms, or one with two numbers of rows, add in the same order; on Hopper they mostly do once
 * nothing splits the depth.  So this is not assumed but tried.  For each weight, direction, type
 * and epilogue the library's first algorithm for 128 rows is the reference.  Another number of rows
 * gets the library's first algorithm for it whose results have the reference's bits, in every row
 * and column, on factors made for it: their sums cancel, so that what is left is rounding, and the
 * order of additions alone decides it.  Where none has, the product is made in blocks of 128 rows
 * by the reference itself, the last one through padded memory: slower, with the same bits.
 *
 * What a kernel does with which address does not depend on the numbers, and the call tried is the
 * call made: same sizes, same alignment.  To keep the number of trials small, more than 256 rows
 * are cut into one product of a multiple of 256 and the rest.  A trial waits for the device and
 * allocates, so it is not made while calls are recorded: the blocks of 128 stand in.
 *
 * No algorithm is chosen by the clock here, and none gets a workspace that could hold parts of
 * sums: ranks with the same GPU, library and driver choose the same. */
#pragma once
#include "blas.cuh"

static constexpr int64_t blas_block = 128;               /* the reference's rows */
static constexpr int64_t blas_step = 256;                /* of larger products */
static constexpr int64_t blas_max_rows = 8192;           /* in one product */
static constexpr int64_t blas_tried_elements = 16 << 20; /* of a factor or result on trial */
enum { blas_probe_threads = 256 };

/* A number of a counter: as many bits as its type has, 24 or 8, and 8 exponents, so that fp32
 * cannot hold the sums of products of two; of 24 bits it cannot hold one product, so that a sum of
 * a few shows its order too. */
template <class T> static __device__ float blas_probe_value(uint64_t at)
{
    uint64_t z = at * 0xBF58476D1CE4E5B9u + 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    z = z ^ (z >> 31);
    const int bits = sizeof(T) == sizeof(float) ? 24 : 8, top = 1 << (bits - 1);
    const float size = (float)(top + (int)(z >> 32 & (uint64_t)(top - 1))) / (float)top *
                       (float)(1 << (z >> 7 & 7)) * 0x1p-4f;
    return z >> 10 & 1 ? -size : size;
}

/* The term whose negative stands at k: sums over a row cancel.  Rotated, so that they do not cancel
 * in the order in which they came. */
static __device__ int64_t blas_probe_partner(int64_t k, int64_t half)
{
    return (k - half + half / 3 + 1) % half;
}

/* Fills [outer, depth], or [depth, outer] where transposed; with `same`, all outer ones are equal.
 */
template <class T>
static __global__ void __launch_bounds__(blas_probe_threads)
    blas_probe_kernel(T *to, int64_t outer, int64_t depth, bool transposed, bool same)
{
    const int64_t at = (int64_t)blockIdx.x * blas_probe_threads + threadIdx.x;
    if (at >= outer * depth) return;
    const int64_t i = transposed ? at % outer : at / depth,
                  k = transposed ? at / outer : at % depth;
    const int64_t half = depth / 2;
    const bool second = k >= half && k < 2 * half;
    const int64_t from = second ? blas_probe_partner(k, half) : k;
    const float x = blas_probe_value<T>((uint64_t)(same ? from : (i + 1) * depth + from));
    element_store(to + at, second && !same ? -x : x);
}

/* Raises *differs where a row of c has other bits than want. */
template <class Bits>
static __global__ void __launch_bounds__(blas_probe_threads)
    blas_probe_compare_kernel(const Bits *c, const Bits *want, int64_t rows, int64_t columns,
                              int *differs)
{
    const int64_t at = (int64_t)blockIdx.x * blas_probe_threads + threadIdx.x;
    if (at < rows * columns && c[at] != want[at % columns]) atomicMax(differs, 1);
}

/* Memory of one trial: factors, results, and whether they differ. */
struct blas_probe {
    void *memory;
    char *left, *right, *c, *want;
    int *differs;
};

static size_t blas_bytes(int64_t rows, int64_t columns, int64_t element_bytes)
{
    return (size_t)cuda_divide_up(rows * columns * element_bytes, 256) * 256;
}

static void blas_probe_fill(struct queue *q, void *to, int64_t outer, int64_t depth,
                            bool transposed, bool same)
{
    cuda_with_element(q, cuda_launch(q, blas_probe_kernel<element>,
                                     cuda_divide_up(outer * depth, blas_probe_threads),
                                     blas_probe_threads, 0, (element *)to, outer, depth, transposed,
                                     same));
}

static bool blas_probe_open(struct queue *q, const struct blas_shape *s, struct blas_probe *probe)
{
    const int64_t left_rows = s->rows > blas_block ? s->rows : blas_block;
    const size_t left = blas_bytes(left_rows, s->depth, s->element_bytes);
    const size_t right = blas_bytes(s->columns, s->depth, s->element_bytes);
    const size_t c = blas_bytes(s->rows, s->columns, s->c_bytes);
    const size_t want = blas_bytes(blas_block, s->columns, s->c_bytes);
    *probe = (struct blas_probe){};
    status error = cuda_allocate(q, MEMORY_SCRATCH, left + right + c + want + 256, &probe->memory);
    if (error) { /* the blocks of 128 need none */
        status_free(error);
        return false;
    }
    probe->left = (char *)probe->memory;
    probe->right = probe->left + left;
    probe->c = probe->right + right;
    probe->want = probe->c + c;
    probe->differs = (int *)(probe->want + want);
    blas_probe_fill(q, probe->left, left_rows, s->depth, false, true);
    blas_probe_fill(q, probe->right, s->columns, s->depth, !s->right_transposed, false);
    return true;
}

/* c or want, by an algorithm.  What it adds to is 0; what it does not write is no number. */
static bool blas_probe_run(struct queue *q, struct blas *blas, const struct blas_shape *s,
                           const struct blas_algorithm *algorithm, const struct blas_probe *probe,
                           char *c)
{
    cuda_check(q,
               cudaMemsetAsync(c, s->accumulate ? 0 : 0xff,
                               blas_bytes(s->rows, s->columns, s->c_bytes),
                               cuda_queue_of(q)->stream),
               "cudaMemsetAsync");
    return !blas_library_run(q, &blas->library, s, algorithm, probe->left, probe->right, c);
}

/* Whether every row of probe->c has the bits of the first of probe->want. */
static bool blas_probe_equal(struct queue *q, const struct blas_shape *s,
                             const struct blas_probe *probe)
{
    const int64_t blocks = cuda_divide_up(s->rows * s->columns, blas_probe_threads);
    int differs = 1;
    cuda_zero(q, probe->differs, sizeof *probe->differs);
    if (s->c_bytes == 4)
        cuda_launch(q, blas_probe_compare_kernel<uint32_t>, blocks, blas_probe_threads, 0,
                    (const uint32_t *)probe->c, (const uint32_t *)probe->want, s->rows, s->columns,
                    probe->differs);
    else
        cuda_launch(q, blas_probe_compare_kernel<uint16_t>, blocks, blas_probe_threads, 0,
                    (const uint16_t *)probe->c, (const uint16_t *)probe->want, s->rows, s->columns,
                    probe->differs);
    cuda_download(q, &differs, probe->differs, sizeof differs);
    cuda_check(q, cudaStreamSynchronize(cuda_queue_of(q)->stream), "a product on trial");
    return !differs;
}

/* The first of the library's algorithms whose rows, given equal ones, are equal: of the reference,
 * with want NULL, to one another, else to what the reference gives. */
static bool blas_exact_search(struct queue *q, struct blas *blas, const struct blas_shape *s,
                              const struct blas_plan *reference, struct blas_algorithm *algorithm)
{
    struct blas_algorithm suggested[blas_max_suggested + 1];
    struct blas_probe probe;
    const char *message;
    bool found = false;
    int count = blas_library_suggest(&blas->library, s, suggested, blas_max_suggested, &message);
    if (reference && blas_library_takes(&blas->library, s, &reference->algorithm))
        suggested[count++] = reference->algorithm;
    if (!count || !blas_probe_open(q, s, &probe)) return false;
    const bool wanted = !reference || blas_probe_run(q, blas, &reference->shape,
                                                     &reference->algorithm, &probe, probe.want);
    for (int i = 0; wanted && !found && i < count; i++) {
        struct blas_probe own = probe;
        if (!reference) own.want = own.c;
        found = blas_probe_run(q, blas, s, &suggested[i], &probe, probe.c) &&
                blas_probe_equal(q, s, &own);
        if (found) *algorithm = suggested[i];
    }
    cuda_release(q, probe.memory);
    return found;
}

/* The shape whose bits are the weight's, or NULL (and the error is kept). */
static struct blas_plan *blas_reference(struct queue *q, struct blas *blas,
                                        const struct blas_shape *s)
{
    struct blas_shape shape = *s;
    shape.rows = blas_block;
    struct blas_plan *plan =
        blas_plan_find(blas->reference, blas_references, blas_references, &shape);
    if (blas_plan_is(plan, &shape)) return plan;
    const char *message = NULL;
    if (plan->shape.rows)
        message = "exact: true has no room for so many weight shapes";
    else if (blas_is_recording(q))
        message = "exact: true needs a product's first call before calls are recorded";
    else if (!blas_exact_search(q, blas, &shape, NULL, &plan->algorithm))
        message = "no algorithm for exact: true, or no memory to try one";
    if (message) {
        blas_fail(q, &shape, message);
        return NULL;
    }
    plan->shape = shape;
    return plan;
}

/* A plan for the shape's own rows with the reference's bits, or NULL. */
static const struct blas_plan *blas_exact_choose(struct queue *q, struct blas *blas,
                                                 const struct blas_shape *s,
                                                 struct blas_plan *reference)
{
    struct blas_plan *plan = reference;
    if (s->rows != blas_block) plan = blas_plan_find(blas->plan, blas_plans, blas_probes, s);
    if (!blas_plan_is(plan, s)) {
        struct blas_algorithm algorithm = {};
        if (blas_is_recording(q)) return NULL;
        const bool found = blas_exact_search(q, blas, s, reference, &algorithm);
        blas_plan_set(plan, s, &algorithm, s->rows);
        plan->refused = !found;
    }
    plan->calls++;
    return plan->refused ? NULL : plan;
}

/* What a row of left and of c takes, in bytes. */
static int64_t blas_left_bytes(const struct blas_shape *s)
{
    return s->depth * s->element_bytes;
}

static int64_t blas_c_bytes(const struct blas_shape *s)
{
    return s->columns * s->c_bytes;
}

static bool blas_exact_takes(const struct blas_shape *s, const void *left, const void *c)
{
    return (uintptr_t)left % (uintptr_t)s->alignment[0] == 0 &&
           (uintptr_t)c % (uintptr_t)s->alignment[2] == 0;
}

/* At most 128 rows by the reference, through padded memory where they are fewer. */
static const char *blas_exact_block(struct queue *q, struct blas *blas, struct blas_plan *reference,
                                    int64_t rows, const void *left, const void *right, void *c)
{
    const struct blas_shape *s = &reference->shape;
    reference->blocks++;
    if (rows == blas_block && blas_exact_takes(s, left, c))
        return blas_library_run(q, &blas->library, s, &reference->algorithm, left, right, c);
    const size_t left_bytes = (size_t)(rows * blas_left_bytes(s));
    const size_t c_bytes = (size_t)(rows * blas_c_bytes(s));
    const size_t left_room = blas_bytes(blas_block, s->depth, s->element_bytes);
    const size_t c_room = blas_bytes(blas_block, s->columns, s->c_bytes);
    char *padded = (char *)blas->padding, *padded_c = padded + left_room;
    if (blas->padding_bytes < left_room + c_room) return "exact: true has no room for padding";
    cuda_copy(q, padded, left, left_bytes);
    cuda_zero(q, padded + left_bytes, left_room - left_bytes);
    if (s->accumulate) {
        cuda_copy(q, padded_c, c, c_bytes);
        cuda_zero(q, padded_c + c_bytes, c_room - c_bytes);
    }
    const char *message =
        blas_library_run(q, &blas->library, s, &reference->algorithm, padded, right, padded_c);
    if (!message) cuda_copy(q, c, padded_c, c_bytes);
    return message;
}

/* Room for the padding of any product with an [n, k] weight. */
static status blas_exact_reserve(struct queue *q, struct blas *blas, int64_t n, int64_t k)
{
    const size_t bytes = blas_bytes(blas_block, n, 4) + blas_bytes(blas_block, k, 4);
    if (blas->padding_bytes >= bytes) return NULL;
    cuda_release(q, blas->padding); /* waits for its readers */
    blas->padding = NULL;
    blas->padding_bytes = 0;
    cuda_queue_of(q)->moves++; /* of graphs that use it */
    TRY(cuda_allocate(q, MEMORY_SCRATCH, bytes, &blas->padding));
    blas->padding_bytes = bytes;
    return NULL;
}

/* The rows of the next product of `rows` that are left. */
static int64_t blas_exact_cut(const struct blas_shape *s, int64_t rows)
{
    const int64_t width = s->columns > s->depth ? s->columns : s->depth;
    int64_t max_rows = blas_tried_elements / width / blas_step * blas_step;
    if (max_rows > blas_max_rows) max_rows = blas_max_rows;
    if (max_rows < blas_step) max_rows = blas_step;
    if (rows < blas_step) return rows;
    return rows > max_rows ? max_rows : rows / blas_step * blas_step;
}

static void blas_exact_multiply(struct queue *q, struct blas *blas, const struct product *p)
{
    struct blas_shape s = blas_shape_of(q, p);
    s.exact = 1;
    s.alignment[0] = blas_alignment((uint64_t)blas_left_bytes(&s));
    s.alignment[1] =
        blas_alignment((uint64_t)((p->right_transposed ? p->depth : p->columns) * s.element_bytes));
    s.alignment[2] = blas_alignment((uint64_t)blas_c_bytes(&s));
    struct blas_plan *reference = blas_reference(q, blas, &s);
    if (!reference) return;
    const char *message = NULL;
    for (int64_t row = 0, rows; row < p->rows && !message; row += rows) {
        const char *left = (const char *)p->left + row * blas_left_bytes(&s);
        char *c = (char *)p->c + row * blas_c_bytes(&s);
        rows = s.rows = blas_exact_cut(&s, p->rows - row);
        const struct blas_plan *plan =
            blas_exact_takes(&s, left, c) ? blas_exact_choose(q, blas, &s, reference) : NULL;
        if (plan) {
            message = blas_library_run(q, &blas->library, &s, &plan->algorithm, left, p->right, c);
            continue;
        }
        for (int64_t done = 0; done < rows && !message; done += blas_block)
            message = blas_exact_block(
                q, blas, reference, rows - done < blas_block ? rows - done : blas_block,
                left + done * blas_left_bytes(&s), p->right, c + done * blas_c_bytes(&s));
    }
    if (message) blas_fail(q, &s, message);
}
