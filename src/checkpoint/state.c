/* See state.h. */
#include "src/checkpoint/state.h"

#include "src/base/memory.h"
#include "src/checkpoint/store.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static const char file[] = "state.h5", format_name[] = "format";

static enum store_type stored_as(enum state_type type)
{
    switch (type) {
    case STATE_FLOATS:
        return STORE_FLOATS;
    case STATE_DOUBLES:
        return STORE_DOUBLES;
    case STATE_INTEGERS:
        return STORE_INTEGERS;
    default:
        return STORE_BYTES;
    }
}

struct kept_row {
    char name[CHECKPOINT_NAME_MAX];
    enum store_type type;
    int64_t count;
    void *values; /* NULL where there are none */
};

struct state_kept {
    int64_t count;
    struct kept_row rows[];
};

static status row_keep(const struct state_row *row, const void *run, struct kept_row *kept)
{
    struct state_value value;
    memset(&value, 0, sizeof value);
    status s = row->get(run, row->index, &value);
    if (!s && row->count >= 0 && value.count != row->count)
        s = ERROR(STATUS_INTERNAL, "row %s has %lld elements, not %lld", row->name,
                  (long long)value.count, (long long)row->count);
    if (s) {
        free(value.owned);
        return s;
    }
    memcpy(kept->name, row->name, sizeof kept->name);
    kept->type = stored_as(row->type);
    kept->count = value.count;
    kept->values = value.owned;
    if (value.owned || !value.count) return NULL;
    const size_t bytes = (size_t)value.count * store_type_size((int)kept->type);
    kept->values = memory_allocate(bytes);
    memcpy(kept->values, value.values, bytes);
    return NULL;
}

status state_keep(const struct state_row *rows, int64_t count, const void *run,
                  struct state_kept **out)
{
    struct state_kept *kept =
        memory_allocate(sizeof *kept + (size_t)count * sizeof(struct kept_row));
    status s = NULL;
    kept->count = count;
    for (int64_t i = 0; i < count && !s; i++) s = row_keep(&rows[i], run, &kept->rows[i]);
    if (s) {
        state_kept_free(kept);
        kept = NULL;
    }
    *out = kept;
    return s;
}

void state_kept_text(struct state_kept *kept, const char *name, const char *text)
{
    int64_t i = 0;
    while (i < kept->count && strcmp(kept->rows[i].name, name) != 0) i++;
    assert(i < kept->count && kept->rows[i].type == STORE_BYTES);
    free(kept->rows[i].values);
    kept->rows[i].values = memory_text(text);
    kept->rows[i].count = (int64_t)strlen(text);
}

status state_kept_write(const struct state_kept *kept, const char *folder)
{
    const int64_t format = STATE_FORMAT, one = 1;
    struct store *store;
    TRY(store_create_in(folder, file, &store));
    status s = store_write(store, format_name, STORE_INTEGERS, &format, 1, &one);
    for (int64_t i = 0; i < kept->count && !s; i++) {
        const struct kept_row *row = &kept->rows[i];
        s = store_write(store, row->name, (int)row->type, row->values, 1, &row->count);
    }
    return store_close_after(store, s);
}

void state_kept_free(struct state_kept *kept)
{
    if (!kept) return;
    for (int64_t i = 0; i < kept->count; i++) free(kept->rows[i].values);
    free(kept);
}

static status format_check(struct store *store, const char *folder)
{
    int64_t format = 1, *values, count;
    if (store_has(store, format_name)) {
        TRY(store_read_all(store, format_name, STORE_INTEGERS, (void **)&values, &count));
        format = count == 1 ? values[0] : 0;
        free(values);
    }
    if (format == STATE_FORMAT) return NULL;
    FAIL(STATUS_INPUT,
         "%s/%s is of format %lld, this regard reads %d: no run goes on from it; the checkpoint "
         "still serves as --model, for scaled rewards with --set reward.scale=none",
         folder, file, (long long)format, STATE_FORMAT);
}

static status row_read(struct store *store, const char *folder, const struct state_row *row,
                       void *run)
{
    void *values;
    int64_t count;
    if (!row->set || (row->may_miss && !store_has(store, row->name))) return NULL;
    TRY(store_read_all(store, row->name, (int)stored_as(row->type), &values, &count));
    status s = NULL;
    if (row->count >= 0 && count != row->count)
        s = ERROR(STATUS_INPUT, "%s/%s: %s has %lld elements, not %lld", folder, file, row->name,
                  (long long)count, (long long)row->count);
    if (!s) s = row->set(run, row->index, values, count);
    free(values);
    return s;
}

status state_load(const char *folder, const struct state_row *rows, int64_t count, void *run)
{
    struct store *store;
    TRY(store_open_in(folder, file, &store));
    status s = format_check(store, folder);
    for (int64_t i = 0; i < count && !s; i++) s = row_read(store, folder, &rows[i], run);
    return store_close_after(store, s);
}

status state_read(const char *folder, const char *name, enum state_type type, void **values,
                  int64_t *count)
{
    struct store *store;
    *values = NULL;
    *count = 0;
    TRY(store_open_in(folder, file, &store));
    status s = format_check(store, folder);
    if (!s) s = store_read_all(store, name, (int)stored_as(type), values, count);
    return store_close_after(store, s);
}
