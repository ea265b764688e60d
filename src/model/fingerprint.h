/* A 64-bit hash of a vector's bits on the device, the same however many ranks, threads and slices
 * compute it (hash of kernels/ops.h).  No cryptography: it tells what broken memory or a forgotten
 * exchange did, not what somebody wants to hide. */
#ifndef REGARD_MODEL_FINGERPRINT_H
#define REGARD_MODEL_FINGERPRINT_H

#include "kernels/ops.h"

struct fingerprint; /* room on the device */

status fingerprint_open(struct queue *queue, struct fingerprint **out);
void fingerprint_close(struct fingerprint *fingerprint); /* NULL is fine */
/* Of values [count], of which the first is element `first` of the whole vector.  Those of a
 * vector's parts add up to its own. */
status fingerprint_of(struct fingerprint *fingerprint, const float *values, int64_t first,
                      int64_t count, uint64_t *out);
/* 16 hexadecimal digits, mixed so that every digit depends on all bits. */
void fingerprint_text(uint64_t value, char out[17]);

#endif
