/* safetensors files: an 8-byte length, a JSON header, the tensors' bytes.  The reader keeps
 * the whole file in memory and refuses any file that is not exactly well-formed; the writer
 * is atomic. */
#ifndef REGARD_MODEL_SAFETENSORS_H
#define REGARD_MODEL_SAFETENSORS_H

#include "src/base/status.h"

#include <stddef.h>
#include <stdint.h>

enum { SAFETENSORS_RANK_MAX = 8 };

enum tensor_type {
    TENSOR_F64,
    TENSOR_F32,
    TENSOR_F16,
    TENSOR_BF16,
    TENSOR_I64,
    TENSOR_I32,
    TENSOR_I16,
    TENSOR_I8,
    TENSOR_U8,
    TENSOR_BOOL
};

struct tensor {
    const char *name; /* the file's, as long as it is open */
    enum tensor_type type;
    int rank; /* 0: a scalar */
    int64_t shape[SAFETENSORS_RANK_MAX];
    int64_t count;    /* elements */
    const void *data; /* little endian, not aligned */
    size_t bytes;
};

struct safetensors;

/* STATUS_INPUT for every malformed file; the message names the file and the tensor. */
status safetensors_open(const char *path, struct safetensors **out);
void safetensors_close(struct safetensors *file); /* NULL is fine */
const char *safetensors_path(const struct safetensors *file);
/* Tensors in the order of their data. */
int64_t safetensors_count(const struct safetensors *file);
const struct tensor *safetensors_at(const struct safetensors *file, int64_t index);
const struct tensor *safetensors_find(const struct safetensors *file, const char *name); /* NULL */

void tensor_shape_text(char *out, size_t size, const int64_t *shape, int rank); /* "[2, 3]" */
/* All elements of an F32, BF16, F16 (exactly) or F64 (rounded) tensor; other types refused. */
status tensor_floats(const struct tensor *tensor, float *out);
/* All elements of an I64, I32, I16, I8 or U8 tensor; other types refused. */
status tensor_integers(const struct tensor *tensor, int64_t *out);

/* One F32 tensor to write. */
struct tensor_source {
    const char *name;
    const float *values;
    int rank;
    int64_t shape[SAFETENSORS_RANK_MAX];
};
/* Writes path as a whole or not at all: the tensors in the order given, metadata
 * {"format": "pt"} as Transformers wants it. */
status safetensors_write(const char *path, const struct tensor_source *tensors, int64_t count);

#endif
