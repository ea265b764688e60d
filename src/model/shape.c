#include "src/model/shape.h"

#include "src/base/json.h"
#include "src/base/memory.h"
#include "src/model/families.h"
#include "src/model/family.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct model_shape *shape_new(const struct model_family *family)
{
    struct model_shape *shape = memory_allocate(family->shape_size);
    shape->family = family;
    for (const struct shape_row *row = family->shape_rows; row->name; row++)
        shape_row_set(shape, row, row->absent);
    return shape;
}

struct model_shape *model_shape_copy(const struct model_shape *shape)
{
    const size_t size = shape->family->shape_size;
    return memcpy(memory_allocate(size), shape, size);
}

double shape_row_get(const struct model_shape *shape, const struct shape_row *row)
{
    const char *at = (const char *)shape + row->offset;
    switch (row->kind) {
    case SHAPE_ID:
        return *(const int32_t *)at;
    case SHAPE_FLAG:
        return *(const bool *)at;
    case SHAPE_REAL:
        return *(const float *)at;
    default:
        return (double)*(const int64_t *)at;
    }
}

void shape_row_set(struct model_shape *shape, const struct shape_row *row, double value)
{
    char *at = (char *)shape + row->offset;
    switch (row->kind) {
    case SHAPE_ID:
        *(int32_t *)at = (int32_t)value;
        break;
    case SHAPE_FLAG:
        *(bool *)at = value != 0;
        break;
    case SHAPE_REAL:
        *(float *)at = (float)value;
        break;
    default:
        *(int64_t *)at = (int64_t)value;
    }
}

bool model_shape_is_causal(const struct model_shape *shape)
{
    return shape->family->causal;
}

void model_shape_value(struct model_shape *shape)
{
    shape->family->shape_without_replies(shape);
    shape->valued = true;
}

int64_t model_shape_sequence_max(const struct model_shape *shape)
{
    return shape->family->sequence_max ? shape->family->sequence_max(shape) : INT64_MAX;
}

double model_shape_number(const struct model_shape *shape, const char *name)
{
    for (const struct shape_row *row = shape->family->shape_rows; row->name; row++)
        if (!strcmp(row->name, name)) return shape_row_get(shape, row);
    return 0;
}

static status row_check(const struct model_shape *shape, const struct shape_row *row)
{
    const double value = shape_row_get(shape, row);
    const double low = row->kind == SHAPE_ID ? 0 : row->low;
    const double high = row->kind == SHAPE_ID ? (double)(shape->vocabulary - 1) : row->high;
    if (row->kind == SHAPE_FLAG) return NULL;
    if (row->kind == SHAPE_REAL && !(value > low && value <= high))
        FAIL(STATUS_INPUT, "the model's shape: %s is %g, allowed are above %g to %g", row->name,
             value, low, high);
    if (row->kind != SHAPE_REAL && (value < low || value > high))
        FAIL(STATUS_INPUT, "the model's shape: %s is %.0f, allowed are %.0f to %.0f", row->name,
             value, low, high);
    return NULL;
}

status model_shape_check(const struct model_shape *shape)
{
    for (const struct shape_row *row = shape->family->shape_rows; row->name; row++)
        TRY(row_check(shape, row));
    return shape->family->shape_check(shape);
}

bool model_shape_is_end(const struct model_shape *shape, int32_t token)
{
    if (token == shape->end) return true;
    for (int64_t i = 0; i < shape->more_ends; i++)
        if (token == shape->more_end[i]) return true;
    return false;
}

int64_t model_shape_ends(const struct model_shape *shape, int32_t end[1 + SHAPE_MORE_ENDS])
{
    end[0] = shape->end;
    memcpy(end + 1, shape->more_end, (size_t)shape->more_ends * sizeof *end);
    return 1 + shape->more_ends;
}

status model_shape_from_settings(const char *model_type, const struct model_setting *settings,
                                 int64_t count, struct model_shape **out)
{
    const struct model_family *found = family_of_config(model_type);
    if (!found)
        FAIL(STATUS_INPUT,
             "model.family %s is not known; known are t5, llama, mistral, qwen2 and qwen3",
             model_type);
    struct model_shape *shape = shape_new(found);
    for (const struct shape_row *row = found->shape_rows; row->name; row++)
        for (int64_t i = 0; i < count; i++)
            if (!strcmp(row->name, settings[i].name)) shape_row_set(shape, row, settings[i].value);
    found->shape_from_settings(shape, model_type);
    status s = model_shape_check(shape);
    if (s) {
        free(shape);
        return s;
    }
    *out = shape;
    return NULL;
}

/* [prefix]["name"separator value, ...] of all rows. */
static void rows_print(FILE *out, const struct model_shape *shape, const char *format)
{
    for (const struct shape_row *row = shape->family->shape_rows; row->name; row++) {
        const double value = shape_row_get(shape, row);
        char text[40];
        if (row->kind == SHAPE_LATER && value == row->absent) continue;
        if (row->kind == SHAPE_REAL)
            json_float_text(text, (float)value);
        else
            snprintf(text, sizeof text, "%.0f", value);
        fprintf(out, format, row->name, text);
    }
}

char *model_shape_to_json(const struct model_shape *shape)
{
    char *text;
    size_t size;
    FILE *out = memory_stream(&text, &size);
    fprintf(out, "{\"family\":\"%s\"", shape->family->name);
    rows_print(out, shape, ",\"%s\":%s");
    fputs(shape->valued ? ",\"value_head\":true}" : "}", out);
    memory_stream_close(out);
    return text;
}

char *model_shape_describe(const struct model_shape *shape)
{
    char *text;
    size_t size;
    FILE *out = memory_stream(&text, &size);
    fprintf(out, "family %s", shape->family->name);
    rows_print(out, shape, ", %s %s");
    if (shape->valued) fputs(", a value head", out);
    memory_stream_close(out);
    return text;
}

static status row_from_json(const json_t *json, const char *where, const struct shape_row *row,
                            struct model_shape *shape)
{
    int64_t integer;
    double number;
    if (row->kind == SHAPE_LATER && !json_object_get(json, row->name)) return NULL;
    if (row->kind == SHAPE_REAL) {
        TRY(json_get_number(json, where, row->name, &number));
    } else {
        TRY(json_get_integer(json, where, row->name, &integer));
        number = (double)integer;
        if (row->kind == SHAPE_ID && integer != (int32_t)integer)
            FAIL(STATUS_INPUT, "%s: \"%s\" is no token", where, row->name);
        /* So that no rounding below can bring a number back into its bounds. */
        if (fabs(number) > 0x1p53)
            FAIL(STATUS_INPUT, "%s: \"%s\" is out of range", where, row->name);
    }
    shape_row_set(shape, row, number);
    return NULL;
}

status model_shape_from_json(const json_t *json, const char *where, struct model_shape **out)
{
    const struct model_family *family = family_at(0);
    if (json_object_get(json, "family")) {
        const char *name;
        TRY(json_get_text(json, where, "family", &name));
        family = family_find(name);
        if (!family)
            FAIL(STATUS_INPUT, "%s: \"family\" is %s, which this program does not know", where,
                 name);
    }
    struct model_shape *shape = shape_new(family);
    status s = NULL;
    for (const struct shape_row *row = family->shape_rows; !s && row->name; row++)
        s = row_from_json(json, where, row, shape);
    if (json_is_true(json_object_get(json, "value_head"))) model_shape_value(shape);
    if (s) {
        free(shape);
        return s;
    }
    *out = shape;
    return NULL;
}
