/* One operation called through a mirror: its arguments go to the device, and what it wrote comes
 * back. */
#ifndef REGARD_TESTS_MIRROR_CALL_H
#define REGARD_TESTS_MIRROR_CALL_H

#include "kernels/ops.h"

struct mirror {
    struct queue base;
    struct queue *inner;
    bool fresh_is_unwritten; /* device memory starts as 0xFF bytes: those words stay unwritten */
    status error;            /* the first since the last synchronize */
};

struct mirror_item {
    void *host, *device;
    int64_t count;
    size_t bytes; /* of an element, on the host */
    bool narrow, out;
};

/* One operation's arguments. */
struct mirror_call {
    struct mirror *mirror;
    struct queue *inner;
    struct mirror_item items[32];
    int count;
};

struct mirror_call mirror_begin(struct queue *q);
/* An array of `count` elements of `bytes` bytes, where it lies on the device; NULL stays NULL.  The
 * same array twice is one on the device.  narrow: it is `real`.  out: the operation writes it. */
void *mirror_argument(struct mirror_call *call, const void *host, int64_t count, size_t bytes,
                      bool narrow, bool out);
/* The same of 4 bytes an element: read or written, fp32 or integers or `real`. */
void *mirror_in(struct mirror_call *call, const void *host, int64_t count);
void *mirror_out(struct mirror_call *call, void *host, int64_t count);
void *mirror_in_real(struct mirror_call *call, const real *host, int64_t count);
void *mirror_out_real(struct mirror_call *call, real *host, int64_t count);
/* What was written comes back; the device's arrays are released. */
void mirror_end(struct mirror_call *call);
/* Keeps the first error for the mirror's next synchronize. */
void mirror_keep(struct mirror *mirror, status error);

#endif
