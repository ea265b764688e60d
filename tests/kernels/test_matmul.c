/* The matrix products: right against float64, and equal in every bit over instruction sets,
 * threads and numbers of rows. */
#include "tests/kernels/kernel_test.h"
#include "tests/kernels/mirror.h"

struct shape {
    int64_t m, n, k;
};

/* Odd sizes round the tiles' edges, more than one k block, and enough rows for row blocks; weights
 * with less than 8 rows or columns. */
static const struct shape shapes[] = {
    {1, 1, 1},     {1, 130, 300}, {2, 67, 256},  {3, 33, 257},  {5, 16, 31},    {7, 200, 513},
    {9, 129, 700}, {64, 65, 64},  {97, 40, 515}, {401, 70, 33}, {800, 35, 260}, {300, 130, 600},
    {70, 1, 1030}, {33, 7, 41},   {130, 150, 3}, {3, 5, 7},     {9, 7, 8}};
enum { shape_count = sizeof shapes / sizeof *shapes };

/* |fl(product) - product| <= (256 + K/256 + 1) u sum |a||b| with u = 2^-24: a chain of at most
 * 256 roundings, then the blocks' sums.  The values are at most 1, and errors add like a walk:
 * the worst case below is already a tight test (a term left out is off by about 0.3). */
static double tolerance(int64_t k)
{
    double chain = (double)(k < 256 ? k : 256) + (double)(k / 256) + 2;
    return chain * (double)k * 0x1p-24;
}

enum form { forward, with_relu, into_float, input_gradient, weight_gradient, forms };
static const char *const form_names[] = {"matmul", "matmul_relu", "matmul_float",
                                         "matmul_input_gradient", "matmul_weight_gradient"};

/* One product C[rows, columns] over `depth`, of the given form, in a queue. */
static void multiply(struct queue *q, enum form form, float *c, const float *a, const float *b,
                     struct shape s, bool accumulate)
{
    if (form == weight_gradient) {
        /* dw[m, n] = a[k, m]^T b[k, n] */
        q->op->matmul_weight_gradient(q, c, a, b, s.k, s.m, s.n, accumulate);
        return;
    }
    struct packed_matrix *w;
    const bool back = form == input_gradient;
    status error = back ? q->op->matrix_create(q, s.k, s.n, true, &w)
                        : q->op->matrix_create(q, s.n, s.k, false, &w);
    assert_null(error);
    q->op->matrix_pack(q, w, b, NULL);
    if (back)
        q->op->matmul_input_gradient(q, c, a, w, s.m, accumulate);
    else if (form == with_relu)
        q->op->matmul_relu(q, c, a, w, s.m);
    else if (form == into_float)
        q->op->matmul_float(q, c, a, w, s.m, accumulate);
    else
        q->op->matmul(q, c, a, w, s.m, accumulate);
    queue_check(q);
    q->op->matrix_destroy(q, w);
}

static double element(enum form form, const float *a, const float *b, struct shape s, int64_t i,
                      int64_t j, int64_t k)
{
    const float left = form == weight_gradient ? a[k * s.m + i] : a[i * s.k + k];
    const bool turned = form == input_gradient || form == weight_gradient;
    const float right = turned ? b[k * s.n + j] : b[j * s.k + k];
    return (double)left * (double)right;
}

static void products_equal_float64(void **state)
{
    (void)state;
    struct queues all = queues_new();
    for (int form = 0; form < forms; form++)
        for (int i = 0; i < shape_count; i++) {
            const struct shape s = shapes[i];
            float *a = random_new(s.m * s.k, 1, 1), *b = random_new(s.n * s.k, 2, 1);
            float *before = random_new(s.m * s.n, 3, 1), *first = floats_new(s.m * s.n);
            double *want = malloc((size_t)(s.m * s.n) * sizeof *want);
            for (int accumulate = 0; accumulate < (form == with_relu ? 1 : 2); accumulate++) {
                for (int64_t r = 0; r < s.m; r++)
                    for (int64_t j = 0; j < s.n; j++) {
                        double sum = accumulate ? before[r * s.n + j] : 0;
                        for (int64_t k = 0; k < s.k; k++) sum += element(form, a, b, s, r, j, k);
                        want[r * s.n + j] = form == with_relu && sum < 0 ? 0 : sum;
                    }
                for (int qi = 0; qi < all.count; qi++) {
                    float *c = floats_new(s.m * s.n);
                    if (accumulate) memcpy(c, before, (size_t)(s.m * s.n) * sizeof *c);
                    multiply(all.q[qi], form, c, a, b, s, accumulate);
                    char what[160];
                    snprintf(what, sizeof what, "%s %lld x %lld x %lld, %s%s", form_names[form],
                             (long long)s.m, (long long)s.n, (long long)s.k, all.name[qi],
                             accumulate ? ", accumulate" : "");
                    check_close(c, want, s.m * s.n, tolerance(s.k) + 0x1p-23, 0, what);
                    if (qi == 0) memcpy(first, c, (size_t)(s.m * s.n) * sizeof *c);
                    check_bits(c, first, s.m * s.n, what);
                    guarded_free(c, what);
                }
            }
            free(want);
            guarded_free(a, "a");
            guarded_free(b, "b");
            guarded_free(before, "before");
            guarded_free(first, "first");
        }
    queues_free(&all);
}

/* The order that the CPU's products have, written out: chains of fmaf over blocks of 256. */
static void the_order_of_addition_is_the_one_defined(void **state)
{
    (void)state;
    if (on_cuda()) skip(); /* cuBLASLt's own */
    const struct shape s = {13, 37, 700};
    float *a = random_new(s.m * s.k, 4, 1), *b = random_new(s.n * s.k, 5, 1);
    float *before = random_new(s.m * s.n, 6, 1), *want = floats_new(s.m * s.n);
    for (int64_t i = 0; i < s.m; i++)
        for (int64_t j = 0; j < s.n; j++) {
            float sum = 0;
            for (int64_t k0 = 0; k0 < s.k; k0 += 256) {
                float chain = 0;
                for (int64_t k = k0; k < s.k && k < k0 + 256; k++)
                    chain = fmaf(a[i * s.k + k], b[j * s.k + k], chain);
                sum = k0 ? sum + chain : chain;
            }
            want[i * s.n + j] = before[i * s.n + j] + sum;
        }
    struct queues all = queues_new();
    for (int qi = 0; qi < all.count; qi++) {
        float *c = floats_new(s.m * s.n);
        memcpy(c, before, (size_t)(s.m * s.n) * sizeof *c);
        multiply(all.q[qi], forward, c, a, b, s, true);
        check_bits(c, want, s.m * s.n, all.name[qi]);
        guarded_free(c, all.name[qi]);
    }
    queues_free(&all);
    guarded_free(a, "a");
    guarded_free(b, "b");
    guarded_free(before, "before");
    guarded_free(want, "want");
}

/* On CUDA that is what exact queues are for. */
static bool rows_keep_their_bits(void)
{
    return !on_cuda() || getenv("REGARD_TEST_EXACT");
}

static void a_rows_bits_do_not_depend_on_the_number_of_rows(void **state)
{
    (void)state;
    if (!rows_keep_their_bits()) skip();
    enum { most = 130 };
    const int64_t n = 161, k = 600;
    float *x = random_new(most * k, 7, 1), *values = random_new(n * k, 8, 1);
    float *want = floats_new(most * n);
    struct queues all = queues_new();
    for (int qi = 0; qi < all.count; qi++) {
        struct queue *q = all.q[qi];
        for (int back = 0; back < 2; back++) {
            struct packed_matrix *w; /* [n, k], or [k, n] whose input gradient is taken */
            status error = back ? q->op->matrix_create(q, k, n, true, &w)
                                : q->op->matrix_create(q, n, k, false, &w);
            assert_null(error);
            q->op->matrix_pack(q, w, values, NULL);
            void (*run)(struct queue *, real *, const real *, const struct packed_matrix *, int64_t,
                        bool) = back ? q->op->matmul_input_gradient : q->op->matmul;
            for (int64_t i = 0; i < most; i++) run(q, want + i * n, x + i * k, w, 1, false);
            for (int64_t m = 1; m <= most; m += m < 64 && !on_cuda() ? 1 : 22) {
                float *y = floats_new(m * n);
                run(q, y, x, w, m, false);
                check_bits(y, want, m * n, all.name[qi]);
                guarded_free(y, all.name[qi]);
            }
            q->op->matrix_destroy(q, w);
        }
    }
    queues_free(&all);
    guarded_free(x, "x");
    guarded_free(values, "values");
    guarded_free(want, "want");
}

/* A row's bits over many numbers of rows, as the ranks of a run meet them: every number up to two
 * blocks of an exact queue, and some that are cut. */
static void products_of_every_number_of_rows_have_one_rows_bits(void **state)
{
    (void)state;
    if (!rows_keep_their_bits()) skip();
    enum { most = 600 };
    const int64_t n = 24, k = 70;
    float *x = random_new(most * k, 10, 1), *values = random_new(n * k, 11, 1);
    float *want = floats_new(most * n);
    struct queues all = queues_new();
    struct queue *q = all.q[0];
    for (int form = 0; form < weight_gradient; form++) {
        const struct shape whole = {most, n, k};
        multiply(q, form, want, x, values, whole, false);
        for (int64_t m = 1; m <= most; m += m < 200 ? 1 : 57) {
            /* From the front, and from elsewhere: a row's place does not matter either. */
            const int64_t first = (most - m) * (m % 2);
            const struct shape s = {m, n, k};
            char what[80];
            snprintf(what, sizeof what, "%s, rows %lld from %lld", form_names[form], (long long)m,
                     (long long)first);
            float *y = floats_new(m * n);
            multiply(q, form, y, x + first * k, values, s, false);
            check_bits(y, want + first * n, m * n, what);
            guarded_free(y, what);
        }
    }
    queues_free(&all);
    guarded_free(x, "x");
    guarded_free(values, "values");
    guarded_free(want, "want");
}

/* Weights that are too thin for cuBLASLt have kernels of their own: a row's bits are its own on any
 * queue, and every one may be recorded at once. */
static void a_thin_weights_rows_have_one_rows_bits(void **state)
{
    (void)state;
    enum { most = 70 };
    static const struct shape thin[] = {{most, 1, 300}, {most, 7, 33}, {most, 90, 5}};
    struct queues all = queues_new();
    for (int i = 0; i < 3; i++)
        for (int form = 0; form < weight_gradient; form++) {
            const struct shape s = thin[i];
            float *x = random_new(s.m * s.k, 17, 1), *values = random_new(s.n * s.k, 18, 1);
            float *want = floats_new(s.m * s.n), *row = floats_new(s.n);
            multiply(all.q[0], form, want, x, values, s, false);
            for (int64_t r = 0; r < s.m; r += 3) {
                multiply(all.q[0], form, row, x + r * s.k, values, (struct shape){1, s.n, s.k},
                         false);
                check_bits(row, want + r * s.n, s.n, form_names[form]);
            }
            guarded_free(x, "x");
            guarded_free(values, "values");
            guarded_free(want, "want");
            guarded_free(row, "row");
        }
    queues_free(&all);
}

/* On exact queues numbers of rows that were not met before calls were recorded; on others each is
 * met before, as a decoder does.  (With REGARD_TEST_TUNE a search on a GPU might later choose
 * another algorithm than the recorded one.) */
static void recorded_products_have_the_same_bits(void **state)
{
    (void)state;
    if (!on_cuda() || getenv("REGARD_TEST_TUNE")) skip();
    enum { n = 20, k = 52, most = 300, sizes = 3 };
    static const int64_t rows[sizes] = {37, 129, most};
    struct queues all = queues_new();
    struct queue *q = mirror_inner(all.q[0]);
    float *x = random_new(most * k, 12, 1), *values = random_new(n * k, 13, 1);
    float *y = floats_new(2 * most * n);
    real *device_x, *device_y;
    struct packed_matrix *w;
    void *host = malloc((size_t)most * k * 4);
    for (int64_t i = 0; i < most * k; i++)
        if (q->real_bytes == 2)
            ((uint16_t *)host)[i] = mirror_narrowed(x[i]);
        else
            ((float *)host)[i] = x[i];
    assert_null(q->op->allocate(q, MEMORY_ACTIVATIONS, most * k * q->real_bytes, &device_x));
    assert_null(q->op->allocate(q, MEMORY_ACTIVATIONS, 2 * most * n * 4, &device_y));
    q->op->upload(q, device_x, host, most * k * q->real_bytes);
    assert_null(q->op->matrix_create(q, n, k, false, &w));
    mirror_pack(all.q[0], w, n, k, values);
    float *recorded_y = (float *)device_y + most * n;
    q->op->matmul_float(q, device_y, device_x, w, 1, false); /* a product's first call */
    for (int i = 0; i < sizes; i++) {
        struct graph *graph;
        if (!q->exact) q->op->matmul_float(q, device_y, device_x, w, rows[i], false);
        q->op->graph_begin(q);
        q->op->matmul_float(q, recorded_y, device_x, w, rows[i], false);
        status error = q->op->graph_end(q, &graph);
        if (error) fail_msg("%s", status_message(error));
        q->op->graph_launch(q, graph);
        q->op->matmul_float(q, device_y, device_x, w, rows[i], false);
        q->op->download(q, y, device_y, 2 * most * n * 4);
        queue_check(q);
        check_bits(y + most * n, y, rows[i] * n, "recorded");
        q->op->graph_destroy(q, graph);
    }
    q->op->matrix_destroy(q, w);
    q->op->release(q, device_x);
    q->op->release(q, device_y);
    free(host);
    queues_free(&all);
    guarded_free(x, "x");
    guarded_free(values, "values");
    guarded_free(y, "y");
}

/* Choosing an algorithm asks the library, and on exact queues waits for the device: neither can be
 * done while calls are recorded.  That costs the recording and nothing else: once the product has
 * been made it is recorded. */
static void a_product_met_first_while_recording_is_refused_until_it_was_made(void **state)
{
    (void)state;
    if (!on_cuda()) skip();
    struct queues all = queues_new();
    struct queue *q = mirror_inner(all.q[0]);
    struct packed_matrix *w;
    struct graph *graph;
    real *memory;
    assert_null(q->op->allocate(q, MEMORY_ACTIVATIONS, 4096, &memory));
    assert_null(q->op->matrix_create(q, 8, 8, false, &w));
    q->op->zero(q, memory, 4096);
    q->op->matrix_pack(q, w, (const float *)memory, NULL);
    q->op->graph_begin(q);
    q->op->matmul_float(q, (float *)memory + 512, memory, w, 3, false);
    status error = q->op->graph_end(q, &graph);
    const char *why = q->exact ? "first call before calls are recorded"
                               : "for the first time while calls are recorded";
    if (!error || !strstr(status_message(error), why))
        fail_msg("recorded, or refused for another reason: %s", status_message(error));
    status_free(error);

    q->op->matmul_float(q, (float *)memory + 512, memory, w, 3, false);
    q->op->graph_begin(q);
    q->op->matmul_float(q, (float *)memory + 512, memory, w, 3, false);
    error = q->op->graph_end(q, &graph);
    if (error) fail_msg("%s", status_message(error));
    q->op->graph_launch(q, graph);
    queue_check(q);
    q->op->graph_destroy(q, graph);
    q->op->matrix_destroy(q, w);
    q->op->release(q, memory);
    queues_free(&all);
}

/* The shim's file of choices, as it lies on disk: kernels/cuda/blas_cache.cuh. */
struct choice {
    struct {
        int64_t rows, columns, depth;
        int32_t others[10];
    } shape;
    uint64_t algorithm[8]; /* the second: that it dawdles */
};

static int64_t choices_read(struct choice *choices, int64_t most)
{
    char path[300];
    snprintf(path, sizeof path, "%s/regard/matmul-plain-loops", getenv("XDG_CACHE_HOME"));
    FILE *file = fopen(path, "rb");
    if (!file) return 0;
    fseek(file, 256, SEEK_SET);
    const int64_t count = (int64_t)fread(choices, sizeof *choices, (size_t)most, file);
    fclose(file);
    return count;
}

static void a_search_keeps_the_fastest_and_later_queues_find_it(void **state)
{
    (void)state;
    if (!getenv("REGARD_TEST_TUNE") || !getenv("CUDA_HOST_ALGORITHMS")) skip();
    enum { most = 4096 };
    static struct choice choices[2][most];
    int64_t count[2];
    const struct shape s = {67, 19, 23}, same_class = {66, 19, 23};
    float *x = random_new(s.m * s.k, 14, 1), *values = random_new(s.n * s.k, 15, 1);
    float *y = random_new(s.m * s.n, 16, 1);
    for (int i = 0; i < 2; i++) { /* with queues that know nothing of each other */
        struct queues all = queues_new();
        multiply(all.q[0], forward, y, x, values, s, false);
        multiply(all.q[0], forward, y, x, values, same_class, false);
        queues_free(&all);
        count[i] = choices_read(choices[i], most);
    }
    int64_t found = 0;
    for (int64_t i = 0; i < count[0]; i++) {
        const struct choice *c = &choices[0][i];
        if (c->shape.columns != s.n || c->shape.depth != s.k) continue;
        found++;
        assert_int_equal(c->shape.rows, 72); /* stands for 65 to 72 */
        if (c->algorithm[1]) fail_msg("the algorithm that dawdles was kept");
    }
    assert_int_equal(found, 1);
    assert_int_equal(count[0], count[1]);
    assert_memory_equal(choices[0], choices[1], (size_t)count[0] * sizeof **choices);
    guarded_free(x, "x");
    guarded_free(values, "values");
    guarded_free(y, "y");
}

static void no_rows_is_no_work_and_an_empty_sum_is_zero(void **state)
{
    (void)state;
    struct queues all = queues_new();
    for (int qi = 0; qi < all.count; qi++) {
        struct queue *q = all.q[qi];
        float *dw = random_new(15, 9, 1), none = 0;
        q->op->matmul_weight_gradient(q, dw, &none, &none, 0, 3, 5, false);
        for (int i = 0; i < 15; i++) assert_true(dw[i] == 0);
        guarded_free(dw, "dw");
        struct packed_matrix *w;
        assert_null(q->op->matrix_create(q, 3, 1, false, &w));
        q->op->matrix_pack(q, w, (const float[]){1, 2, 3}, NULL);
        q->op->matmul(q, NULL, NULL, w, 0, false);
        q->op->matrix_destroy(q, w);
    }
    queues_free(&all);
}

static void an_input_gradient_that_was_not_asked_for_is_an_error(void **state)
{
    (void)state;
    struct queues all = queues_new();
    struct queue *q = all.q[0];
    struct packed_matrix *w;
    float dx = 0;
    assert_null(q->op->matrix_create(q, 1, 1, false, &w));
    q->op->matrix_pack(q, w, &dx, NULL);
    q->op->matmul_input_gradient(q, &dx, &dx, w, 1, false);
    status error = q->op->synchronize(q);
    assert_non_null(error);
    status_free(error);
    assert_null(q->op->synchronize(q));
    q->op->matrix_destroy(q, w);
    queues_free(&all);
}

static uint64_t matrix_hash_of(struct queue *q, const struct packed_matrix *w)
{
    uint64_t *sum = guarded_new(sizeof *sum);
    q->op->matrix_hash(q, sum, w);
    queue_check(q);
    const uint64_t hash = *sum;
    guarded_free(sum, "hash");
    return hash;
}

/* Any one element that is packed otherwise shows, in one direction or two, and nothing else does.
 */
static void a_packed_matrixs_hash_shows_every_element(void **state)
{
    (void)state;
    const int64_t n = 37, k = 29;
    float *values = random_new(n * k, 9, 1);
    struct queues all = queues_new();
    for (int qi = 0; qi < 2 * all.count; qi++) {
        struct queue *q = all.q[qi / 2];
        struct packed_matrix *w;
        assert_null(q->op->matrix_create(q, n, k, qi % 2, &w));
        q->op->matrix_pack(q, w, values, NULL);
        const uint64_t whole = matrix_hash_of(q, w);
        for (int64_t i = 0; i < n * k; i += on_cuda() ? 101 : 1) {
            values[i] = -values[i];
            q->op->matrix_pack(q, w, values, NULL);
            assert_true(matrix_hash_of(q, w) != whole);
            values[i] = -values[i];
        }
        q->op->matrix_pack(q, w, values, NULL);
        assert_true(matrix_hash_of(q, w) == whole);
        q->op->matrix_destroy(q, w);
    }
    queues_free(&all);
    guarded_free(values, "values");
}

static void a_nan_goes_through_the_relu_of_a_product(void **state)
{
    (void)state;
    struct queues all = queues_new();
    const float a[3] = {NAN, -1, 2}, b[1] = {1};
    for (int i = 0; i < all.count; i++) {
        float *c = floats_new(3);
        multiply(all.q[i], with_relu, c, a, b, (struct shape){3, 1, 1}, false);
        assert_true(isnan(c[0]) && c[1] == 0 && c[2] == 2);
        guarded_free(c, "relu");
    }
    queues_free(&all);
}

static void instructions_and_threads_are_checked(void **state)
{
    (void)state;
    struct queue *q;
    status error = cpu_queue_create(1, "sse9", &q);
    assert_non_null(error);
    assert_non_null(strstr(status_message(error), "sse9"));
    status_free(error);
    error = cpu_queue_create(0, "auto", &q);
    assert_non_null(error);
    status_free(error);
    assert_null(cpu_queue_create(1, "auto", &q));
    void *memory;
    assert_null(q->op->allocate(q, MEMORY_ACTIVATIONS, 5, &memory));
    assert_int_equal((uintptr_t)memory % 64, 0);
    q->op->release(q, memory);
    q->op->destroy(q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_equal_float64),
        cmocka_unit_test(a_packed_matrixs_hash_shows_every_element),
        cmocka_unit_test(the_order_of_addition_is_the_one_defined),
        cmocka_unit_test(a_rows_bits_do_not_depend_on_the_number_of_rows),
        cmocka_unit_test(products_of_every_number_of_rows_have_one_rows_bits),
        cmocka_unit_test(a_thin_weights_rows_have_one_rows_bits),
        cmocka_unit_test(recorded_products_have_the_same_bits),
        cmocka_unit_test(a_product_met_first_while_recording_is_refused_until_it_was_made),
        cmocka_unit_test(a_search_keeps_the_fastest_and_later_queues_find_it),
        cmocka_unit_test(no_rows_is_no_work_and_an_empty_sum_is_zero),
        cmocka_unit_test(an_input_gradient_that_was_not_asked_for_is_an_error),
        cmocka_unit_test(a_nan_goes_through_the_relu_of_a_product),
        cmocka_unit_test(instructions_and_threads_are_checked),
    };
    return cmocka_run_group_tests_name("matmul", tests, NULL, NULL);
}
