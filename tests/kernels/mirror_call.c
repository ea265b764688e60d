/* See mirror_call.h. */
#include "tests/kernels/mirror_call.h"

#include "tests/kernels/mirror.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

struct mirror_call mirror_begin(struct queue *q)
{
    struct mirror *mirror = (struct mirror *)q;
    return (struct mirror_call){.mirror = mirror, .inner = mirror->inner};
}

void mirror_keep(struct mirror *mirror, status error)
{
    if (mirror->error)
        status_free(error);
    else
        mirror->error = error;
}

uint16_t mirror_narrowed(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    if (x != x) return 0x7FFF;
    return (uint16_t)((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

static void mirror_send(struct mirror_call *call, const struct mirror_item *item)
{
    const size_t device_bytes = item->narrow ? 2 : item->bytes;
    char *device = item->device, *from = item->host;
    if (item->narrow) {
        uint16_t *values = malloc((size_t)item->count * sizeof *values);
        for (int64_t i = 0; i < item->count; i++)
            values[i] = mirror_narrowed(((const float *)item->host)[i]);
        from = (char *)values;
    }
    /* Of outputs, what the test has not written is not sent, so that checks see a read of it. */
    const bool skip = item->out && call->mirror->fresh_is_unwritten && item->bytes >= 4;
    for (int64_t i = 0; i < item->count;) {
        int64_t end = i;
        const uint32_t *words = item->host;
        const int64_t each = (int64_t)item->bytes / 4;
        while (end < item->count && !(skip && words[end * each] == UINT32_MAX)) end++;
        if (end > i)
            call->inner->op->upload(call->inner, device + (size_t)i * device_bytes,
                                    from + (size_t)i * device_bytes,
                                    (size_t)(end - i) * device_bytes);
        i = end > i ? end : i + 1;
    }
    if (item->narrow) {
        mirror_keep(call->mirror, call->inner->op->synchronize(call->inner));
        free(from);
    }
}

void *mirror_argument(struct mirror_call *call, const void *host, int64_t count, size_t bytes,
                      bool narrow, bool out)
{
    if (!host) return NULL;
    for (int i = 0; i < call->count; i++)
        if (call->items[i].host == host) { /* in place */
            if (call->items[i].count != count) fail_msg("one array in place, two sizes");
            call->items[i].out |= out;
            return call->items[i].device;
        }
    assert_true(call->count < 32);
    struct mirror_item *item = &call->items[call->count++];
    *item = (struct mirror_item){.host = (void *)(uintptr_t)host,
                                 .count = count > 0 ? count : 0,
                                 .bytes = bytes,
                                 .narrow = narrow && call->inner->real_bytes == 2,
                                 .out = out};
    status error =
        call->inner->op->allocate(call->inner, MEMORY_ACTIVATIONS,
                                  (size_t)item->count * (item->narrow ? 2 : bytes), &item->device);
    if (error) fail_msg("%s", status_message(error));
    mirror_send(call, item);
    return item->device;
}

void *mirror_in(struct mirror_call *call, const void *host, int64_t count)
{
    return mirror_argument(call, host, count, 4, false, false);
}

void *mirror_out(struct mirror_call *call, void *host, int64_t count)
{
    return mirror_argument(call, host, count, 4, false, true);
}

void *mirror_in_real(struct mirror_call *call, const real *host, int64_t count)
{
    return mirror_argument(call, host, count, 4, true, false);
}

void *mirror_out_real(struct mirror_call *call, real *host, int64_t count)
{
    return mirror_argument(call, host, count, 4, true, true);
}

static void mirror_fetch(struct mirror_call *call, const struct mirror_item *item)
{
    struct queue *q = call->inner;
    const size_t size = (size_t)item->count * (item->narrow ? 2 : item->bytes);
    uint16_t *values = item->narrow ? malloc(size) : NULL;
    q->op->download(q, item->narrow ? (void *)values : item->host, item->device, size);
    mirror_keep(call->mirror, q->op->synchronize(q));
    for (int64_t i = 0; item->narrow && i < item->count; i++) {
        /* A pair of unwritten bytes is an unwritten word. */
        const uint32_t wide = values[i] == UINT16_MAX ? UINT32_MAX : (uint32_t)values[i] << 16;
        memcpy((char *)item->host + 4 * i, &wide, sizeof wide);
    }
    free(values);
}

void mirror_end(struct mirror_call *call)
{
    for (int i = 0; i < call->count; i++)
        if (call->items[i].out && call->items[i].count) mirror_fetch(call, &call->items[i]);
    mirror_keep(call->mirror, call->inner->op->synchronize(call->inner));
    for (int i = 0; i < call->count; i++)
        call->inner->op->release(call->inner, call->items[i].device);
}
