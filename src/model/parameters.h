/* A model's parameters: one contiguous float32 buffer on the device and a table of names.
 * One layout everywhere: checkpoints, weight messages and gradients are this buffer. */
#ifndef REGARD_MODEL_PARAMETERS_H
#define REGARD_MODEL_PARAMETERS_H

#include "kernels/ops.h"

#include <stdint.h>

struct parameter {
    char name[112]; /* Hugging Face's name */
    int64_t offset; /* floats from the buffer's start */
    int64_t count;
    int rank; /* 1 or 2 */
    int64_t shape[2];
};

struct parameters {
    struct queue *queue;
    struct parameter *list;
    int64_t count; /* parameters */
    int64_t size;  /* floats in all, every offset a multiple of 16 or not as layout needs */
    float *values; /* device, [size] */
};

/* Appends a parameter [rows, columns] (rank 1: columns 1) right behind the others; its offset. */
int64_t parameters_append(struct parameters *p, int rank, int64_t rows, int64_t columns,
                          const char *format, ...) __attribute__((format(printf, 5, 6)));
/* The next parameter begins aligned: a weight that is packed, alone or with those appended right
 * behind it. */
void parameters_align(struct parameters *p);

const struct parameter *parameters_find(const struct parameters *p, const char *name);
/* SHA-256 over names, shapes and float32 bytes in the table's order: `parameters sha256`. */
status parameters_hash(const struct parameters *p, char hex[65]);
/* The same, of values that lie on the host, [size]; any thread may call. */
status parameters_hash_values(const struct parameters *p, const float *host, char hex[65]);
/* The whole buffer to and from host memory. */
status parameters_download(const struct parameters *p, float *host);
status parameters_upload(struct parameters *p, const float *host);

#endif
