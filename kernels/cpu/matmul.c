/* The matrix products: y = x W^T, dx = dy W, dw = dy^T x, all by one routine C = A B over
 * packed panels of B.
 *
 * The order of addition, the same for every number of rows, thread and instruction set: k in
 * blocks of 256; in each block one chain of fused multiply-adds from zero over ascending k; the
 * blocks' sums added in ascending order.  With `accumulate` the finished product is added to
 * what the output holds, once. */
#include "kernels/cpu/cpu.h"

#include "kernels/cpu/matmul_tiles.h"
#include "src/base/block_sum.h"
#include "src/base/heartbeat.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>

enum {
    k_block = 256,            /* defines the bits: never change it */
    packed_floats = 64 << 10, /* of A packed at a time: 256 KB, in an L2 beside B */
    packed_depth = 1024,      /* k of it, at most */
    ahead_alone = 8192,       /* bytes from what a tile alone reads of B to what it asks for */
    tiles_for_rows = 4,       /* threads take rows once each has so many tiles of them */
    thread_work = 1 << 17,    /* multiply-adds below which one thread does all */
};

/* B of k rows and n columns, in panels of `width` columns, each contiguous over k, the last
 * padded with zeros. */
struct panels {
    int64_t n, k;
    float *values;
};

struct packed_matrix {
    int64_t n, k;
    struct panels forward;        /* B = W^T */
    struct panels input_gradient; /* B = W; values NULL without one */
};

/* A(i, k) = values[i * row_stride + k * step_stride], m rows. */
struct left {
    int64_t m;
    const float *values;
    int64_t row_stride, step_stride;
};

static int64_t at_most(int64_t x, int64_t limit)
{
    return x < limit ? x : limit;
}

/* The part-th of `parts` nearly equal parts of `count` ends here. */
static int64_t part_end(int64_t count, int64_t part, int64_t parts)
{
    return count * (part + 1) / parts;
}

/* to[k * width + i] = from[i * row_stride + k * step_stride], i < count <= width, k < steps:
 * a tile of A or a panel of B. */
static void pack(float *to, int64_t width, int64_t count, int64_t steps, const float *from,
                 int64_t row_stride, int64_t step_stride)
{
    if (row_stride == 1) {
        for (int64_t k = 0; k < steps; k++)
            memcpy(to + k * width, from + k * step_stride, (size_t)count * sizeof *to);
        return;
    }
    int64_t i = 0;
    typedef float vector4 __attribute__((vector_size(16), aligned(4), may_alias));
    for (; i + 4 <= count && step_stride == 1; i += 4) { /* 4 x 4 transposes */
        const float *row = from + i * row_stride;
        int64_t k = 0;
        for (; k + 4 <= steps; k += 4) {
            const vector4 a = *(const vector4 *)(row + k),
                          b = *(const vector4 *)(row + row_stride + k),
                          c = *(const vector4 *)(row + 2 * row_stride + k),
                          d = *(const vector4 *)(row + 3 * row_stride + k);
            const vector4 ab_low = __builtin_shufflevector(a, b, 0, 4, 1, 5),
                          ab_high = __builtin_shufflevector(a, b, 2, 6, 3, 7),
                          cd_low = __builtin_shufflevector(c, d, 0, 4, 1, 5),
                          cd_high = __builtin_shufflevector(c, d, 2, 6, 3, 7);
            float *out = to + k * width + i;
            *(vector4 *)out = __builtin_shufflevector(ab_low, cd_low, 0, 1, 4, 5);
            *(vector4 *)(out + width) = __builtin_shufflevector(ab_low, cd_low, 2, 3, 6, 7);
            *(vector4 *)(out + 2 * width) = __builtin_shufflevector(ab_high, cd_high, 0, 1, 4, 5);
            *(vector4 *)(out + 3 * width) = __builtin_shufflevector(ab_high, cd_high, 2, 3, 6, 7);
        }
        for (; k < steps; k++)
            for (int j = 0; j < 4; j++) to[k * width + i + j] = row[j * row_stride + k];
    }
    for (; i < count; i++)
        for (int64_t k = 0; k < steps; k++)
            to[k * width + i] = from[i * row_stride + k * step_stride];
}

static int64_t panels_count(const struct cpu_queue *cpu, int64_t n)
{
    return (n + cpu->tiles->width - 1) / cpu->tiles->width;
}

static size_t panels_bytes(const struct cpu_queue *cpu, int64_t n, int64_t k)
{
    return (size_t)(panels_count(cpu, n) * cpu->tiles->width * k) * sizeof(float);
}

/* B(k, j) = from[j * column_stride + k * step_stride]. */
static void panels_pack(struct queue *q, const struct panels *b, const float *from,
                        int64_t column_stride, int64_t step_stride)
{
    const int64_t width = cpu_queue_of(q)->tiles->width;
    const int64_t count = panels_count(cpu_queue_of(q), b->n);
    const int threads = b->n * b->k < thread_work ? 1 : q->threads;
#pragma omp parallel for num_threads(threads) if (threads > 1)
    for (int64_t p = 0; p < count; p++) {
        const int64_t columns = at_most(b->n - p * width, width);
        float *panel = b->values + p * width * b->k;
        if (columns < width) memset(panel, 0, (size_t)(width * b->k) * sizeof *panel);
        pack(panel, width, columns, b->k, from + p * width * column_stride, column_stride,
             step_stride);
    }
}

/* A tile that hangs over C's right edge goes through a small copy. */
static void tile_at_edge(matmul_tile *tile, int64_t rows, int64_t columns, int64_t width,
                         int64_t steps, const float *a, int64_t a_stride, const float *b,
                         int64_t panel_stride, float *c, int64_t c_stride, bool add)
{
    float copy[matmul_max_rows * matmul_max_width] = {0};
    for (int64_t i = 0; add && i < rows; i++)
        memcpy(copy + i * width, c + i * c_stride, (size_t)columns * sizeof *c);
    tile(steps, a, a_stride, b, panel_stride, copy, width, add, (const char *)b, 0);
    for (int64_t i = 0; i < rows; i++)
        memcpy(c + i * c_stride, copy + i * width, (size_t)columns * sizeof *c);
}

/* Some rows of A over steps [k0, k0 + steps) of B: in place, or packed, each tile at a multiple of
 * tiles->rows * steps. */
struct part {
    const float *a;
    int64_t a_stride;
    bool packed;
    int64_t rows, k0, steps;
};

/* The part by panels [p, p + count), k blocks in ascending order, each by tiles of even size; c:
 * the columns of panel p.  While a block's tiles multiply it they ask for the next one, which lies
 * behind it but for the part's last. */
static void panels_multiply(const struct matmul_tiles *tiles, const struct panels *b, int64_t p,
                            int64_t panels, const struct part *part, float *c, int64_t c_stride,
                            bool add)
{
    const int64_t width = tiles->width, panel_stride = width * b->k;
    const int64_t columns = at_most(b->n - p * width, panels * width);
    const int64_t count = (part->rows + tiles->rows - 1) / tiles->rows;
    for (int64_t k = 0; k < part->steps; k += k_block, add = true) {
        const int64_t steps = at_most(part->steps - k, k_block);
        const float *panel = b->values + p * panel_stride + (part->k0 + k) * width;
        const char *ahead = (const char *)(panel + steps * width);
        if (k + steps == part->steps)
            ahead += (b->k - part->steps) * width * (int64_t)sizeof *panel;
        int64_t ahead_step = width * (int64_t)sizeof *panel / count;
        if (count == 1) ahead = (const char *)panel + ahead_alone;
        for (int64_t t = 0, begin = 0; t < count; t++) {
            const int64_t end = part_end(part->rows, t, count), height = end - begin;
            const float *from = part->packed ? part->a + (t * part->steps + k) * tiles->rows
                                             : part->a + begin * part->a_stride + part->k0 + k;
            float *to = c + begin * c_stride;
            matmul_tile *tile = part->packed ? tiles->packed[height]
                                : panels > 1 ? tiles->wide[height]
                                             : tiles->small[height];
            if (columns == panels * width)
                tile(steps, from, part->a_stride, panel, panel_stride, to, c_stride, add, ahead,
                     ahead_step);
            else
                tile_at_edge(tile, height, columns, panels * width, steps, from, part->a_stride,
                             panel, panel_stride, to, c_stride, add);
            ahead += ahead_step * steps;
            begin = end;
        }
    }
}

/* The whole blocks of k in each of nearly equal parts, of at most packed_depth where there are
 * several. */
static int64_t depth_of(int64_t k)
{
    const int64_t blocks = (k + k_block - 1) / k_block, most = packed_depth / k_block;
    const int64_t parts = (blocks + most - 1) / most;
    return (blocks + parts - 1) / parts * k_block;
}

/* All of A by panels [first, last), by one thread; c: the first of those panels' columns.
 * Row blocks of even size; in each, parts of k in ascending order. */
static void product_part(struct queue *q, int thread, const struct left *a, const struct panels *b,
                         int64_t first, int64_t last, float *c, int64_t c_stride, bool accumulate)
{
    const struct matmul_tiles *tiles = cpu_queue_of(q)->tiles;
    const bool in_place = a->m <= tiles->small_rows && a->step_stride == 1;
    const int64_t depth = in_place ? b->k : at_most(depth_of(b->k), b->k);
    const int64_t limit = in_place ? a->m : packed_floats / depth / tiles->rows * tiles->rows;
    const int64_t blocks = (a->m + limit - 1) / limit;
    const int64_t wide = in_place && a->m <= 2 ? tiles->panels[a->m] : 0;
    const int64_t columns = at_most(last * tiles->width, b->n) - first * tiles->width;
    const bool aside = accumulate && b->k > k_block; /* the product is finished first */
    const size_t a_floats = in_place ? 0 : (size_t)((limit + tiles->rows) * depth);
    const size_t aside_floats = aside ? (size_t)(at_most(limit, a->m) * columns) : 0;
    float *packed = NULL;
    if (a_floats + aside_floats) {
        packed = cpu_scratch(q, thread, (a_floats + aside_floats) * sizeof *packed);
        if (!packed) return;
    }
    float *product = packed + a_floats;

    for (int64_t block = 0, begin = 0; block < blocks; block++) {
        const int64_t end = part_end(a->m, block, blocks), rows = end - begin;
        const int64_t count = (rows + tiles->rows - 1) / tiles->rows;
        float *to = aside ? product : c + begin * c_stride;
        const int64_t to_stride = aside ? columns : c_stride;
        for (int64_t k0 = 0; k0 < b->k; k0 += depth) {
            const struct part part = {
                .a = in_place ? a->values + begin * a->row_stride : packed,
                .a_stride = a->row_stride,
                .packed = !in_place,
                .rows = rows,
                .k0 = k0,
                .steps = at_most(b->k - k0, depth),
            };
            const float *from = a->values + begin * a->row_stride + k0 * a->step_stride;
            for (int64_t t = 0, row = 0; !in_place && t < count; t++) {
                const int64_t next = part_end(rows, t, count);
                pack(packed + t * tiles->rows * part.steps, tiles->rows, next - row, part.steps,
                     from + row * a->row_stride, a->row_stride, a->step_stride);
                row = next;
            }
            for (int64_t p = first, step; p < last; p += step) {
                step = wide && p + wide <= last ? wide : 1;
                panels_multiply(tiles, b, p, step, &part, to + (p - first) * tiles->width,
                                to_stride, k0 > 0 || (accumulate && !aside));
            }
        }
        for (int64_t i = 0; aside && i < rows; i++)
            for (int64_t j = 0; j < columns; j++)
                c[(begin + i) * c_stride + j] += product[i * columns + j];
        begin = end;
    }
}

/* c[m, n] (+)= A B */
static void product(struct queue *q, const struct left *a, const struct panels *b, float *c,
                    bool accumulate)
{
    const struct matmul_tiles *tiles = cpu_queue_of(q)->tiles;
    const int64_t count = panels_count(cpu_queue_of(q), b->n);
    heartbeat_note();
    if (a->m == 0 || b->n == 0) return;
    if (b->k == 0) {
        if (!accumulate) memset(c, 0, (size_t)(a->m * b->n) * sizeof *c);
        return;
    }
    const int wanted = a->m * b->n * b->k < thread_work ? 1 : q->threads;
#pragma omp parallel num_threads(wanted) if (wanted > 1)
    {
        const int64_t threads = omp_get_num_threads();
        const int thread = omp_get_thread_num();
        struct left part = *a;
        int64_t first = 0, last = count, row = 0;
        if (a->m >= tiles_for_rows * tiles->rows * threads) { /* many rows: each takes some */
            row = part_end(a->m, thread - 1, threads);
            part.m = part_end(a->m, thread, threads) - row;
            part.values += row * a->row_stride;
        } else { /* few: each takes panels */
            first = part_end(count, thread - 1, threads);
            last = part_end(count, thread, threads);
        }
        if (part.m > 0 && first < last)
            product_part(q, thread, &part, b, first, last, c + row * b->n + first * tiles->width,
                         b->n, accumulate);
    }
}

size_t cpu_matrix_bytes(const struct queue *q, int64_t n, int64_t k, bool with_input_gradient)
{
    const struct cpu_queue *cpu = (const struct cpu_queue *)q;
    return panels_bytes(cpu, n, k) + (with_input_gradient ? panels_bytes(cpu, k, n) : 0);
}

status cpu_matrix_create(struct queue *q, int64_t n, int64_t k, bool with_input_gradient,
                         struct packed_matrix **out)
{
    const struct cpu_queue *cpu = cpu_queue_of(q);
    *out = NULL;
    struct packed_matrix *w = calloc(1, sizeof *w);
    if (!w)
        FAIL(STATUS_INTERNAL, "no memory for a matrix of %lld x %lld", (long long)n, (long long)k);
    *w = (struct packed_matrix){
        .n = n, .k = k, .forward = {.n = n, .k = k}, .input_gradient = {.n = k, .k = n}};
    void *values = NULL;
    status error = cpu_allocate(q, MEMORY_WEIGHTS, panels_bytes(cpu, n, k), &values);
    w->forward.values = values;
    if (!error && with_input_gradient) {
        error = cpu_allocate(q, MEMORY_WEIGHTS, panels_bytes(cpu, k, n), &values);
        w->input_gradient.values = error ? NULL : values;
    }
    if (error) {
        cpu_matrix_destroy(q, w);
        return status_context(error, "matrix of %lld x %lld", (long long)n, (long long)k);
    }
    *out = w;
    return NULL;
}

void cpu_matrix_destroy(struct queue *q, struct packed_matrix *w)
{
    if (!w) return;
    cpu_release(q, w->forward.values);
    cpu_release(q, w->input_gradient.values);
    free(w);
}

void cpu_matrix_pack(struct queue *q, struct packed_matrix *w, const float *values,
                     const struct rounding *rounding)
{
    (void)rounding; /* nothing is rounded */
    heartbeat_note();
    panels_pack(q, &w->forward, values, w->k, 1);
    if (w->input_gradient.values) panels_pack(q, &w->input_gradient, values, 1, w->k);
}

void cpu_matrix_hash(struct queue *q, uint64_t *sum, const struct packed_matrix *w)
{
    const struct cpu_queue *cpu = cpu_queue_of(q);
    sum[0] = block_sum(w->forward.values, panels_bytes(cpu, w->n, w->k));
    if (w->input_gradient.values)
        sum[0] =
            sum[0] * HASH_STEP + block_sum(w->input_gradient.values, panels_bytes(cpu, w->k, w->n));
}

void cpu_matmul(struct queue *q, real *y_, const real *x_, const struct packed_matrix *w, int64_t m,
                bool accumulate)
{
    float *y = y_;
    const float *x = x_;
    const struct left a = {.m = m, .values = x, .row_stride = w->k, .step_stride = 1};
    product(q, &a, &w->forward, y, accumulate);
}

/* A NaN stays one, so that checks further on see it. */
static void relu(struct queue *q, float *y, int64_t count)
{
    const int threads = count < 1 << 15 ? 1 : q->threads;
#pragma omp parallel for num_threads(threads) if (threads > 1)
    for (int64_t i = 0; i < count; i++) y[i] = y[i] <= 0.0f ? 0.0f : y[i];
}

void cpu_matmul_relu(struct queue *q, real *y, const real *x, const struct packed_matrix *w,
                     int64_t m)
{
    cpu_matmul(q, y, x, w, m, false);
    relu(q, y, m * w->n);
}

void cpu_matmul_float(struct queue *q, float *y, const real *x, const struct packed_matrix *w,
                      int64_t m, bool accumulate)
{
    cpu_matmul(q, y, x, w, m, accumulate);
}

void cpu_matmul_input_gradient(struct queue *q, real *dx_, const real *dy_,
                               const struct packed_matrix *w, int64_t m, bool accumulate)
{
    float *dx = dx_;
    const float *dy = dy_;
    if (!w->input_gradient.values) {
        cpu_fail(q, ERROR(STATUS_INTERNAL,
                          "matrix of %lld x %lld was created without an input gradient",
                          (long long)w->n, (long long)w->k));
        return;
    }
    const struct left a = {.m = m, .values = dy, .row_stride = w->n, .step_stride = 1};
    product(q, &a, &w->input_gradient, dx, accumulate);
}

void cpu_matmul_weight_gradient(struct queue *q, float *dw, const real *dy_, const real *x_,
                                int64_t m, int64_t n, int64_t k, bool accumulate)
{
    const float *dy = dy_;
    const float *x = x_;
    struct panels b = {.n = k, .k = m};
    b.values = cpu_scratch(q, q->threads, panels_bytes(cpu_queue_of(q), k, m));
    if (!b.values) return;
    panels_pack(q, &b, x, 1, k);
    const struct left a = {.m = n, .values = dy, .row_stride = 1, .step_stride = n};
    product(q, &a, &b, dw, accumulate);
}
