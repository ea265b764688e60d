#include "src/model/parameters.h"

#include "src/base/file.h"
#include "src/base/memory.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ALIGNMENT = 16 }; /* floats */

int64_t parameters_append(struct parameters *p, int rank, int64_t rows, int64_t columns,
                          const char *format, ...)
{
    p->list = memory_resize(p->list, (size_t)(p->count + 1) * sizeof *p->list);
    struct parameter *one = &p->list[p->count++];
    *one = (struct parameter){
        .offset = p->size, .count = rows * columns, .rank = rank, .shape = {rows, columns}};
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(one->name, sizeof one->name, format, arguments);
    va_end(arguments);
    p->size += one->count;
    return one->offset;
}

void parameters_align(struct parameters *p)
{
    p->size = (p->size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

const struct parameter *parameters_find(const struct parameters *p, const char *name)
{
    for (int64_t i = 0; i < p->count; i++)
        if (strcmp(p->list[i].name, name) == 0) return &p->list[i];
    return NULL;
}

status parameters_download(const struct parameters *p, float *host)
{
    p->queue->op->download(p->queue, host, p->values, (size_t)p->size * sizeof(float));
    return p->queue->op->synchronize(p->queue);
}

status parameters_upload(struct parameters *p, const float *host)
{
    p->queue->op->upload(p->queue, p->values, host, (size_t)p->size * sizeof(float));
    return p->queue->op->synchronize(p->queue);
}

/* For each parameter: name with its NUL, rank and sizes as 64-bit little-endian, values. */
status parameters_hash_values(const struct parameters *p, const float *host, char hex[65])
{
    struct sha256 *hash = sha256_begin();
    for (int64_t i = 0; i < p->count; i++) {
        const struct parameter *one = &p->list[i];
        int64_t sizes[3] = {one->rank, one->shape[0], one->rank > 1 ? one->shape[1] : 1};
        sha256_add(hash, one->name, strlen(one->name) + 1);
        sha256_add(hash, sizes, sizeof sizes);
        sha256_add(hash, host + one->offset, (size_t)one->count * sizeof(float));
    }
    return sha256_end(hash, hex);
}

status parameters_hash(const struct parameters *p, char hex[65])
{
    if (p->queue->on_host) return parameters_hash_values(p, p->values, hex);
    float *host = memory_allocate((size_t)p->size * sizeof(float) + 1);
    status s = parameters_download(p, host);
    if (!s) s = parameters_hash_values(p, host, hex);
    free(host);
    return s;
}
