#include "src/model/config_json.h"

#include "src/model/family.h"

#include <inttypes.h>

const json_t *config_find(const json_t *config, const char *key)
{
    const json_t *value = json_object_get(config, key);
    return json_is_null(value) ? NULL : value;
}

status config_integer(const json_t *config, const char *path, const char *key, int64_t low,
                      int64_t high, int64_t *out)
{
    const json_t *value = config_find(config, key);
    if (value && !json_is_integer(value)) FAIL(STATUS_INPUT, "%s: %s is not an integer", path, key);
    if (value) *out = json_integer_value(value);
    if (*out < low || *out > high)
        FAIL(STATUS_INPUT, "%s: %s is %" PRId64 ", allowed are %" PRId64 " to %" PRId64, path, key,
             *out, low, high);
    return NULL;
}

status config_flag(const json_t *config, const char *path, const char *key, bool *out)
{
    const json_t *value = config_find(config, key);
    if (value && !json_is_boolean(value))
        FAIL(STATUS_INPUT, "%s: %s is not true or false", path, key);
    if (value) *out = json_is_true(value);
    return NULL;
}

status config_text(const json_t *config, const char *path, const char *key, const char **out)
{
    const json_t *value = config_find(config, key);
    if (value && !json_is_string(value)) FAIL(STATUS_INPUT, "%s: %s is not a string", path, key);
    if (value) *out = json_string_value(value);
    return NULL;
}

status config_number(const json_t *config, const char *path, const char *key, double low,
                     double high, double *out)
{
    const json_t *value = config_find(config, key);
    if (value && !json_is_number(value)) FAIL(STATUS_INPUT, "%s: %s is not a number", path, key);
    if (value) *out = json_number_value(value);
    if (!(*out > low && *out <= high))
        FAIL(STATUS_INPUT, "%s: %s is %g, allowed are above %g to %g", path, key, *out, low, high);
    return NULL;
}

static status row_read(const json_t *config, const char *path, const struct shape_row *row,
                       struct model_shape *shape)
{
    double value = shape_row_get(shape, row);
    int64_t integer = (int64_t)value;
    bool flag = value != 0;
    switch (row->kind) {
    case SHAPE_REAL:
        TRY(config_number(config, path, row->config_key, row->low, row->high, &value));
        break;
    case SHAPE_FLAG:
        TRY(config_flag(config, path, row->config_key, &flag));
        value = flag;
        break;
    case SHAPE_ID:
        TRY(config_integer(config, path, row->config_key, 0, shape->vocabulary - 1, &integer));
        value = (double)integer;
        break;
    default:
        TRY(config_integer(config, path, row->config_key, (int64_t)row->low, (int64_t)row->high,
                           &integer));
        value = (double)integer;
    }
    shape_row_set(shape, row, value);
    return NULL;
}

status config_rows(const json_t *config, const char *path, struct model_shape *shape)
{
    for (const struct shape_row *row = shape->family->shape_rows; row->name; row++)
        if (row->config_key) TRY(row_read(config, path, row, shape));
    return NULL;
}
