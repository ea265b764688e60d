/* A queue whose operations take host arrays and run on another queue's device: the tests of the
 * operations are written once, and their arrays are as large on the device as the contract in
 * kernels/ops.h says, not a byte more.  On queues of bf16 the host's arrays stay fp32: `real`
 * arguments are rounded on their way in and widened on their way out. */
#ifndef REGARD_TESTS_MIRROR_H
#define REGARD_TESTS_MIRROR_H

#include "kernels/ops.h"

/* Takes the queue `inner` over: destroying the mirror destroys it.  fresh_is_unwritten: its device
 * memory starts as 0xFF bytes, and words that are such bytes on the host are not sent, so that they
 * stay unwritten on the device. */
struct queue *mirror_new(struct queue *inner, bool fresh_is_unwritten);
/* The queue that a mirror runs on. */
struct queue *mirror_inner(struct queue *mirror);
/* Packs `values` [n, k] of the host into w, a matrix that was made on the inner queue. */
void mirror_pack(struct queue *mirror, struct packed_matrix *w, int64_t n, int64_t k,
                 const float *values);
/* The bf16 number nearest to x, ties to even. */
uint16_t mirror_narrowed(float x);

#endif
