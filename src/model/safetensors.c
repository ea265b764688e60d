/* safetensors reader and writer; see safetensors.h.  Owns the file's bytes and the table of
 * its tensors.  A file is refused unless its tensors tile the data exactly. */
#include "src/model/safetensors.h"

#include "src/base/file.h"
#include "src/base/heartbeat.h"
#include "src/base/json.h"
#include "src/base/memory.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "tensors are read as little endian");

#define HEADER_MAX 100000000u

struct safetensors {
    char *path;
    char *bytes;
    size_t size;
    json_t *header; /* owns the names */
    int64_t count;
    struct tensor *list;           /* by offset */
    const struct tensor **by_name; /* by name */
};

static const struct {
    const char *name;
    size_t size;
} types[] = {
    [TENSOR_F64] = {"F64", 8},   [TENSOR_F32] = {"F32", 4}, [TENSOR_F16] = {"F16", 2},
    [TENSOR_BF16] = {"BF16", 2}, [TENSOR_I64] = {"I64", 8}, [TENSOR_I32] = {"I32", 4},
    [TENSOR_I16] = {"I16", 2},   [TENSOR_I8] = {"I8", 1},   [TENSOR_U8] = {"U8", 1},
    [TENSOR_BOOL] = {"BOOL", 1},
};
enum { TYPE_COUNT = sizeof types / sizeof types[0] };

static const char *tensor_type_name(enum tensor_type type)
{
    return types[type].name;
}

void tensor_shape_text(char *out, size_t size, const int64_t *shape, int rank)
{
    size_t used = (size_t)snprintf(out, size, "[");
    for (int i = 0; i < rank && used < size; i++)
        used += (size_t)snprintf(out + used, size - used, "%s%" PRId64, i ? ", " : "", shape[i]);
    if (used < size) snprintf(out + used, size - used, "]");
}

static status type_find(const char *path, const char *name, const json_t *value,
                        enum tensor_type *out)
{
    if (!json_is_string(value))
        FAIL(STATUS_INPUT, "%s: tensor %s: dtype is missing or not a string", path, name);
    for (int i = 0; i < TYPE_COUNT; i++)
        if (!strcmp(types[i].name, json_string_value(value))) {
            *out = (enum tensor_type)i;
            return NULL;
        }
    FAIL(STATUS_INPUT, "%s: tensor %s: unknown dtype %s", path, name, json_string_value(value));
}

/* One entry of the header into *tensor; data still relative to `data`, [data_size]. */
static status tensor_parse(const char *path, const char *name, const json_t *entry,
                           const char *data, size_t data_size, struct tensor *tensor)
{
    if (!json_is_object(entry))
        FAIL(STATUS_INPUT, "%s: tensor %s: its entry is not an object", path, name);
    tensor->name = name;
    TRY(type_find(path, name, json_object_get(entry, "dtype"), &tensor->type));
    const json_t *shape = json_object_get(entry, "shape");
    if (!json_is_array(shape))
        FAIL(STATUS_INPUT, "%s: tensor %s: shape is missing or not a list", path, name);
    if (json_array_size(shape) > SAFETENSORS_RANK_MAX)
        FAIL(STATUS_INPUT, "%s: tensor %s: %zu dimensions, at most %d are supported", path, name,
             json_array_size(shape), SAFETENSORS_RANK_MAX);
    tensor->rank = (int)json_array_size(shape);
    tensor->count = 1;
    for (int i = 0; i < tensor->rank; i++) {
        const json_t *dimension = json_array_get(shape, (size_t)i);
        if (!json_is_integer(dimension) || json_integer_value(dimension) < 0)
            FAIL(STATUS_INPUT, "%s: tensor %s: dimension %d is not a count", path, name, i);
        tensor->shape[i] = json_integer_value(dimension);
        if (__builtin_mul_overflow(tensor->count, tensor->shape[i], &tensor->count))
            FAIL(STATUS_INPUT, "%s: tensor %s: the shape overflows", path, name);
    }
    int64_t bytes;
    if (__builtin_mul_overflow(tensor->count, (int64_t)types[tensor->type].size, &bytes))
        FAIL(STATUS_INPUT, "%s: tensor %s: the shape overflows", path, name);
    const json_t *offsets = json_object_get(entry, "data_offsets");
    const json_t *first = json_array_get(offsets, 0), *last = json_array_get(offsets, 1);
    if (!json_is_array(offsets) || json_array_size(offsets) != 2 || !json_is_integer(first) ||
        !json_is_integer(last))
        FAIL(STATUS_INPUT, "%s: tensor %s: data_offsets is not a pair of integers", path, name);
    int64_t begin = json_integer_value(first), end = json_integer_value(last);
    if (begin < 0 || end < begin)
        FAIL(STATUS_INPUT, "%s: tensor %s: data_offsets %" PRId64 ", %" PRId64 " are not a range",
             path, name, begin, end);
    if ((uint64_t)end > data_size)
        FAIL(STATUS_INPUT, "%s: tensor %s: ends at byte %" PRId64 " of the data, which has %zu",
             path, name, end, data_size);
    if (end - begin != bytes) {
        char text[160];
        tensor_shape_text(text, sizeof text, tensor->shape, tensor->rank);
        FAIL(STATUS_INPUT,
             "%s: tensor %s: shape %s of %s takes %" PRId64 " bytes, data_offsets give %" PRId64,
             path, name, text, types[tensor->type].name, bytes, end - begin);
    }
    tensor->data = data + begin;
    tensor->bytes = (size_t)bytes;
    return NULL;
}

static int compare_data(const void *a, const void *b)
{
    const struct tensor *x = a, *y = b;
    const char *i = x->data, *j = y->data;
    if (i != j) return i < j ? -1 : 1;
    if (x->bytes != y->bytes) return x->bytes < y->bytes ? -1 : 1;
    return strcmp(x->name, y->name);
}

static int compare_name(const void *a, const void *b)
{
    const struct tensor *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

static int compare_key(const void *key, const void *b)
{
    const struct tensor *const *tensor = b;
    return strcmp(key, (*tensor)->name);
}

static status metadata_check(const char *path, const json_t *metadata)
{
    if (!json_is_object(metadata)) FAIL(STATUS_INPUT, "%s: __metadata__ is not an object", path);
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)metadata, key, value) if (!json_is_string(value))
        FAIL(STATUS_INPUT, "%s: __metadata__ key %s is not a string", path, key);
    return NULL;
}

/* The tensors must tile the data: no gap, no overlap, nothing after the last. */
static status tiling_check(const struct safetensors *file, const char *data, size_t data_size)
{
    const char *path = file->path, *expected = data;
    for (int64_t i = 0; i < file->count; i++) {
        const struct tensor *tensor = &file->list[i];
        const char *begin = tensor->data;
        if (begin < expected)
            FAIL(STATUS_INPUT, "%s: tensor %s: overlaps tensor %s", path, tensor->name,
                 file->list[i - 1].name);
        if (begin > expected)
            FAIL(STATUS_INPUT, "%s: tensor %s: a gap of %td bytes lies before it", path,
                 tensor->name, begin - expected);
        expected = begin + tensor->bytes;
    }
    if ((size_t)(expected - data) != data_size)
        FAIL(STATUS_INPUT, "%s: %zu bytes follow the last tensor%s%s", path,
             data_size - (size_t)(expected - data), file->count ? " " : "",
             file->count ? file->list[file->count - 1].name : "");
    return NULL;
}

static status file_parse(struct safetensors *file)
{
    const char *path = file->path;
    if (file->size < 8)
        FAIL(STATUS_INPUT, "%s: %zu bytes are too few for a safetensors file", path, file->size);
    uint64_t header_size;
    memcpy(&header_size, file->bytes, 8);
    if (header_size > HEADER_MAX)
        FAIL(STATUS_INPUT, "%s: a header of %" PRIu64 " bytes, at most %u are allowed", path,
             header_size, HEADER_MAX);
    if (header_size > file->size - 8)
        FAIL(STATUS_INPUT, "%s: the header of %" PRIu64 " bytes goes past the file's end", path,
             header_size);
    const char *header = file->bytes + 8, *data = header + header_size;
    size_t data_size = file->size - 8 - (size_t)header_size;
    if (!header_size || header[0] != '{')
        FAIL(STATUS_INPUT, "%s: the header is not a JSON object", path);
    char where[1200];
    snprintf(where, sizeof where, "%s: header", path);
    TRY(json_parse(header, (size_t)header_size, where, &file->header));
    if (!json_is_object(file->header))
        FAIL(STATUS_INPUT, "%s: the header is not a JSON object", path);

    size_t entries = json_object_size(file->header);
    file->list = memory_allocate((entries + 1) * sizeof *file->list);
    file->by_name = memory_allocate((entries + 1) * sizeof *file->by_name);
    const char *name;
    json_t *entry;
    json_object_foreach(file->header, name, entry)
    {
        if (!strcmp(name, "__metadata__"))
            TRY(metadata_check(path, entry));
        else
            TRY(tensor_parse(path, name, entry, data, data_size, &file->list[file->count++]));
    }
    qsort(file->list, (size_t)file->count, sizeof *file->list, compare_data);
    TRY(tiling_check(file, data, data_size));
    for (int64_t i = 0; i < file->count; i++) file->by_name[i] = &file->list[i];
    qsort(file->by_name, (size_t)file->count, sizeof *file->by_name, compare_name);
    return NULL;
}

status safetensors_open(const char *path, struct safetensors **out)
{
    struct safetensors *file = memory_allocate(sizeof *file);
    file->path = memory_text(path);
    status s = file_read(path, &file->bytes, &file->size);
    if (!s) s = file_parse(file);
    if (s) {
        safetensors_close(file);
        return s;
    }
    *out = file;
    return NULL;
}

void safetensors_close(struct safetensors *file)
{
    if (!file) return;
    json_decref(file->header);
    free(file->list);
    free(file->by_name);
    free(file->bytes);
    free(file->path);
    free(file);
}

const char *safetensors_path(const struct safetensors *file)
{
    return file->path;
}

int64_t safetensors_count(const struct safetensors *file)
{
    return file->count;
}

const struct tensor *safetensors_at(const struct safetensors *file, int64_t index)
{
    return &file->list[index];
}

const struct tensor *safetensors_find(const struct safetensors *file, const char *name)
{
    const struct tensor **found =
        bsearch(name, file->by_name, (size_t)file->count, sizeof *file->by_name, compare_key);
    return found ? *found : NULL;
}

/* IEEE half precision to single, exactly. */
static float half_to_float(uint16_t half)
{
    uint32_t sign = (uint32_t)(half >> 15) << 31, exponent = (half >> 10) & 31,
             fraction = half & 1023u, bits;
    float value;
    if (exponent == 0) { /* zero or subnormal: fraction * 2^-24 */
        value = (float)fraction * 0x1p-24f;
        return sign ? -value : value;
    }
    bits = sign | (exponent == 31 ? 255u : exponent + 112u) << 23 | fraction << 13;
    memcpy(&value, &bits, sizeof value);
    return value;
}

status tensor_floats(const struct tensor *tensor, float *out)
{
    const char *data = tensor->data;
    heartbeat_note();
    switch (tensor->type) {
    case TENSOR_F32:
        if (tensor->bytes) memcpy(out, data, tensor->bytes);
        return NULL;
    case TENSOR_F64:
        for (int64_t i = 0; i < tensor->count; i++) {
            double value;
            memcpy(&value, data + 8 * i, 8);
            out[i] = (float)value;
        }
        return NULL;
    case TENSOR_BF16:
        for (int64_t i = 0; i < tensor->count; i++) {
            uint16_t half;
            memcpy(&half, data + 2 * i, 2);
            uint32_t bits = (uint32_t)half << 16;
            memcpy(&out[i], &bits, 4);
        }
        return NULL;
    case TENSOR_F16:
        for (int64_t i = 0; i < tensor->count; i++) {
            uint16_t half;
            memcpy(&half, data + 2 * i, 2);
            out[i] = half_to_float(half);
        }
        return NULL;
    default:
        FAIL(STATUS_INPUT, "tensor %s: dtype %s is not a floating one", tensor->name,
             tensor_type_name(tensor->type));
    }
}

#define CONVERT_INTEGERS(type)                                                                     \
    for (int64_t i = 0; i < tensor->count; i++) {                                                  \
        type value;                                                                                \
        memcpy(&value, data + (int64_t)sizeof value * i, sizeof value);                            \
        out[i] = value;                                                                            \
    }                                                                                              \
    return NULL

status tensor_integers(const struct tensor *tensor, int64_t *out)
{
    const char *data = tensor->data;
    switch (tensor->type) {
    case TENSOR_I64:
        CONVERT_INTEGERS(int64_t);
    case TENSOR_I32:
        CONVERT_INTEGERS(int32_t);
    case TENSOR_I16:
        CONVERT_INTEGERS(int16_t);
    case TENSOR_I8:
        CONVERT_INTEGERS(int8_t);
    case TENSOR_U8:
        CONVERT_INTEGERS(uint8_t);
    default:
        FAIL(STATUS_INPUT, "tensor %s: dtype %s is not an integer one", tensor->name,
             tensor_type_name(tensor->type));
    }
}

static int64_t source_count(const struct tensor_source *source)
{
    int64_t count = 1;
    for (int i = 0; i < source->rank; i++) count *= source->shape[i];
    return count;
}

/* The header as a string the caller frees, padded with spaces to a multiple of 8. */
static char *header_text(const struct tensor_source *tensors, int64_t count, uint64_t *size)
{
    json_t *header = json_object();
    json_object_set_new(header, "__metadata__", json_pack("{s:s}", "format", "pt"));
    int64_t offset = 0;
    for (int64_t i = 0; i < count; i++) {
        json_t *shape = json_array();
        for (int d = 0; d < tensors[i].rank; d++)
            json_array_append_new(shape, json_integer(tensors[i].shape[d]));
        int64_t end = offset + 4 * source_count(&tensors[i]);
        json_object_set_new(header, tensors[i].name,
                            json_pack("{s:s,s:o,s:[I,I]}", "dtype", "F32", "shape", shape,
                                      "data_offsets", (json_int_t)offset, (json_int_t)end));
        offset = end;
    }
    char *text = json_dumps(header, JSON_COMPACT);
    json_decref(header);
    if (!text) return NULL;
    size_t length = strlen(text);
    *size = (length + 7) / 8 * 8;
    char *padded = memory_allocate(*size + 1);
    memset(padded, ' ', *size);
    memcpy(padded, text, length);
    free(text);
    return padded;
}

status safetensors_write(const char *path, const struct tensor_source *tensors, int64_t count)
{
    uint64_t header_size;
    char *header = header_text(tensors, count, &header_size);
    if (!header) FAIL(STATUS_INTERNAL, "%s: a tensor's name is not UTF-8", path);
    struct file_writer writer;
    status s = file_begin(&writer, path);
    if (s) {
        free(header);
        return s;
    }
    bool complete = fwrite(&header_size, 8, 1, writer.stream) == 1 &&
                    fwrite(header, header_size, 1, writer.stream) == 1;
    for (int64_t i = 0; i < count && complete; i++) {
        size_t values = (size_t)source_count(&tensors[i]);
        complete = fwrite(tensors[i].values, sizeof(float), values, writer.stream) == values;
    }
    const int reason = errno;
    free(header);
    errno = reason;
    return file_commit(&writer); /* looks at the stream's error */
}
