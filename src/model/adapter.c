#include "src/model/adapter.h"

#include "kernels/plan.h"
#include "src/base/memory.h"

#include <stdlib.h>

/* Rows at a time: a whole number of the CPU's blocks of 256 rows, so that the gradient of A is the
 * same sum in the same order as in one piece. */
enum { ADAPTER_ROWS = 4096 };

static int64_t width_of(const struct adapter *adapter)
{
    return adapter->parts * adapter->rank;
}

int64_t adapter_rounding_size(const struct adapter *adapter)
{
    const int64_t down = width_of(adapter) * adapter->k, up = adapter->n * width_of(adapter);
    return (down + 7) / 8 * 8 + (up + 7) / 8 * 8;
}

status adapter_create(struct queue *queue, struct adapter *adapter, bool with_gradients)
{
    const int64_t width = width_of(adapter);
    TRY(queue->op->matrix_create(queue, width, adapter->k, with_gradients, &adapter->down));
    return queue->op->matrix_create(queue, adapter->n, width, with_gradients, &adapter->up);
}

void adapter_destroy(struct queue *queue, struct adapter *adapter)
{
    if (adapter->down) queue->op->matrix_destroy(queue, adapter->down);
    if (adapter->up) queue->op->matrix_destroy(queue, adapter->up);
}

static status numbers_create(struct queue *queue, int64_t count, struct adapter_room *room)
{
    const size_t bytes = (size_t)count * sizeof(int32_t);
    TRY(queue->op->allocate(queue, MEMORY_WEIGHTS, bytes, (void **)&room->counting));
    TRY(queue->op->allocate(queue, MEMORY_WEIGHTS, bytes, (void **)&room->zeroes));
    queue->op->zero(queue, room->zeroes, bytes);
    int32_t *host = memory_allocate(bytes);
    for (int64_t i = 0; i < count; i++) host[i] = (int32_t)i;
    queue->op->upload(queue, room->counting, host, bytes);
    status s = queue->op->synchronize(queue);
    free(host);
    return s;
}

status adapter_room_create(struct queue *queue, const struct adapter *adapters, int64_t count,
                           bool with_gradients, struct adapter_room *room)
{
    int64_t width = 0, n = 0, up = 0;
    if (count == 0) return NULL;
    for (int64_t i = 0; i < count; i++) {
        const struct adapter *one = &adapters[i];
        if (width_of(one) > width) width = width_of(one);
        if (one->n > n) n = one->n;
        if (one->n * width_of(one) > up) up = one->n * width_of(one);
    }
    const size_t down = (size_t)(ADAPTER_ROWS * width) * queue->real_bytes;
    const size_t floats = (size_t)up * sizeof(float);
    const struct ops *op = queue->op;
    TRY(op->allocate(queue, MEMORY_ACTIVATIONS, down, &room->down));
    TRY(op->allocate(queue, MEMORY_WEIGHTS, floats, (void **)&room->up));
    if (with_gradients) {
        TRY(op->allocate(queue, MEMORY_ACTIVATIONS, down, &room->ddown));
        TRY(op->allocate(queue, MEMORY_OPTIMIZER, floats, (void **)&room->part));
    }
    return numbers_create(queue, n, room);
}

void adapter_room_destroy(struct queue *queue, struct adapter_room *room)
{
    void *all[] = {room->down, room->ddown, room->up, room->part, room->counting, room->zeroes};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i]) queue->op->release(queue, all[i]);
}

/* rows x width floats that stand so far apart. */
static void block_copy(struct queue *queue, const struct adapter_room *room, float *to,
                       int64_t to_stride, const float *from, int64_t from_stride, int64_t rows,
                       int64_t width)
{
    queue->op->cache_append(queue, to, to_stride, room->counting, room->zeroes, from, from_stride,
                            rows, width, sizeof(float));
}

/* Where part p's block stands in B with its zeros. */
static float *block_of(const struct adapter *adapter, int64_t p)
{
    return adapter->room->up + adapter->part[p].row * width_of(adapter) + p * adapter->rank;
}

/* Whether B with its zeros is B. */
static bool is_whole(const struct adapter *adapter)
{
    return adapter->parts == 1 && adapter->part[0].rows == adapter->n;
}

void adapter_pack(struct queue *queue, const struct adapter *adapter, const float *values,
                  const struct rounding *rounding)
{
    const int64_t width = width_of(adapter), rank = adapter->rank;
    struct rounding here;
    if (queue_is_plan(queue)) return; /* which has matrices but no values */
    if (rounding) {
        here = *rounding;
        here.first = adapter->rounding;
    }
    queue->op->matrix_pack(queue, adapter->down, values + adapter->a, rounding ? &here : NULL);
    if (rounding) here.first += (width * adapter->k + 7) / 8 * 8;
    const float *b = values + adapter->b, *up = b;
    if (!is_whole(adapter)) {
        up = adapter->room->up;
        queue->op->zero(queue, adapter->room->up, (size_t)(adapter->n * width) * sizeof(float));
        for (int64_t p = 0; p < adapter->parts; p++) {
            const int64_t rows = adapter->part[p].rows;
            block_copy(queue, adapter->room, block_of(adapter, p), width, b, rank, rows, rank);
            b += rows * rank;
        }
    }
    queue->op->matrix_pack(queue, adapter->up, up, rounding ? &here : NULL);
}

/* scale x A^T, in the room. */
static const real *down_project(struct queue *queue, const struct adapter *adapter, const real *x,
                                int64_t rows)
{
    real *down = adapter->room->down;
    queue->op->matmul(queue, down, x, adapter->down, rows, false);
    if (adapter->scale != 1.0f)
        queue->op->scale(queue, down, down, adapter->scale, rows * width_of(adapter));
    return down;
}

void adapter_forward(struct queue *queue, const struct adapter *adapter, real *y, const real *x,
                     int64_t rows)
{
    for (int64_t first = 0; first < rows; first += ADAPTER_ROWS) {
        const int64_t count = rows - first < ADAPTER_ROWS ? rows - first : ADAPTER_ROWS;
        const real *down =
            down_project(queue, adapter, real_at(queue, x, first * adapter->k), count);
        queue->op->matmul(queue, real_at(queue, y, first * adapter->n), down, adapter->up, count,
                          true);
    }
}

void adapter_forward_float(struct queue *queue, const struct adapter *adapter, float *y,
                           const real *x, int64_t rows)
{
    for (int64_t first = 0; first < rows; first += ADAPTER_ROWS) {
        const int64_t count = rows - first < ADAPTER_ROWS ? rows - first : ADAPTER_ROWS;
        const real *down =
            down_project(queue, adapter, real_at(queue, x, first * adapter->k), count);
        queue->op->matmul_float(queue, y + first * adapter->n, down, adapter->up, count, true);
    }
}

/* B's gradient += dy^T (scale x A^T), of which only the blocks count. */
static void up_gradient(struct queue *queue, const struct adapter *adapter, const real *dy,
                        const real *down, int64_t rows, float *gradients)
{
    const int64_t width = width_of(adapter), rank = adapter->rank;
    const struct adapter_room *room = adapter->room;
    float *b = gradients + adapter->b;
    if (is_whole(adapter)) {
        queue->op->matmul_weight_gradient(queue, b, dy, down, rows, adapter->n, width, true);
        return;
    }
    queue->op->matmul_weight_gradient(queue, room->up, dy, down, rows, adapter->n, width, false);
    for (int64_t p = 0; p < adapter->parts; p++) {
        const int64_t count = adapter->part[p].rows;
        block_copy(queue, room, room->part, rank, block_of(adapter, p), width, count, rank);
        queue->op->add(queue, b, b, room->part, count * rank);
        b += count * rank;
    }
}

void adapter_backward(struct queue *queue, const struct adapter *adapter, const real *dy,
                      const real *x, real *dx, int64_t rows, float *gradients)
{
    const int64_t width = width_of(adapter);
    real *ddown = adapter->room->ddown;
    for (int64_t first = 0; first < rows; first += ADAPTER_ROWS) {
        const int64_t count = rows - first < ADAPTER_ROWS ? rows - first : ADAPTER_ROWS;
        const real *dy_here = real_at(queue, dy, first * adapter->n);
        const real *x_here = real_at(queue, x, first * adapter->k);
        up_gradient(queue, adapter, dy_here, down_project(queue, adapter, x_here, count), count,
                    gradients);
        queue->op->matmul_input_gradient(queue, ddown, dy_here, adapter->up, count, false);
        if (adapter->scale != 1.0f)
            queue->op->scale(queue, ddown, ddown, adapter->scale, count * width);
        queue->op->matmul_weight_gradient(queue, gradients + adapter->a, ddown, x_here, count,
                                          width, adapter->k, true);
        queue->op->matmul_input_gradient(queue, real_at(queue, dx, first * adapter->k), ddown,
                                         adapter->down, count, true);
    }
}
