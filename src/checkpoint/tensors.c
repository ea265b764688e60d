/* See tensors.h. */
#include "src/checkpoint/tensors.h"

#include "src/base/file.h"
#include "src/base/json.h"
#include "src/base/memory.h"
#include "src/base/slices.h"
#include "src/checkpoint/store.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LONG_PATH = CHECKPOINT_PATH_MAX + 384 };

/* ---- writing ---- */

static const char shape_name[] = "shape.json", adapter_name[] = "adapter.json";

static status text_write(struct store *store, const char *name, const char *text)
{
    const int64_t length = (int64_t)strlen(text);
    return store_write(store, name, STORE_BYTES, text, 1, &length);
}

/* {"rank":8,"alpha":16,"targets":"q,v","base":"...","base_sha256":"..."} */
static status adapter_write(struct store *store, const struct checkpoint_adapter *adapter)
{
    char *text, alpha[40];
    size_t size;
    FILE *out = memory_stream(&text, &size);
    json_float_text(alpha, adapter->settings.alpha);
    fprintf(out, "{\"rank\":%lld,\"alpha\":%s,\"targets\":", (long long)adapter->settings.rank,
            alpha);
    json_write_text(out, adapter->settings.targets);
    fprintf(out, ",\"base\":");
    json_write_text(out, adapter->base);
    fprintf(out, ",\"base_sha256\":\"%s\"}", adapter->base_sha256);
    memory_stream_close(out);
    status s = text_write(store, adapter_name, text);
    free(text);
    return s;
}

static status model_write(const char *folder, const struct parameters *parameters,
                          const float *host, const struct model_shape *shape,
                          const struct checkpoint_adapter *adapter)
{
    struct store *store;
    TRY(store_create_in(folder, "model.h5", &store));
    char *text = model_shape_to_json(shape);
    status s = text_write(store, shape_name, text);
    free(text);
    if (!s && adapter) s = adapter_write(store, adapter);
    for (int64_t i = 0; i < parameters->count && !s; i++) {
        const struct parameter *p = &parameters->list[i];
        s = store_write(store, p->name, STORE_FLOATS, host + p->offset, p->rank, p->shape);
    }
    return store_close_after(store, s);
}

status checkpoint_write_model(const char *folder, const struct parameters *parameters,
                              const float *host, const struct model_shape *shape)
{
    return model_write(folder, parameters, host, shape, NULL);
}

status checkpoint_write_adapter(const char *folder, const struct parameters *trained,
                                const float *host, const struct model_shape *shape,
                                const struct checkpoint_adapter *adapter)
{
    return model_write(folder, trained, host, shape, adapter);
}

status checkpoint_write_slice(const char *folder, int learner, int learners,
                              const struct checkpoint_vector *vectors, int64_t count)
{
    char path[LONG_PATH], name[CHECKPOINT_NAME_MAX];
    struct store *store;
    checkpoint_slice_name(learner, learners, name);
    snprintf(path, sizeof path, "%s/%s", folder, name);
    TRY(store_create(path, &store));
    status s = NULL;
    for (int64_t i = 0; i < count && !s; i++) {
        const struct checkpoint_vector *v = &vectors[i];
        s = store_write(store, v->name, STORE_FLOATS, v->values, 1, &v->count);
        if (!s) s = store_write_mark(store, v->name, "offset", v->offset);
        if (!s) s = store_write_mark(store, v->name, "total", v->total);
    }
    return store_close_after(store, s);
}

/* ---- reading ---- */

status checkpoint_read_shape(const char *folder, struct model_shape **shape)
{
    struct store *store;
    void *text = NULL;
    int64_t size;
    json_t *json;
    TRY(store_open_in(folder, "model.h5", &store));
    TRY(store_close_after(store, store_read_all(store, shape_name, STORE_BYTES, &text, &size)));
    char where[LONG_PATH];
    snprintf(where, sizeof where, "%s/model.h5: shape.json", folder);
    status s = json_parse(text, (size_t)size, where, &json);
    free(text);
    if (s) return s;
    s = model_shape_from_json(json, where, shape);
    json_decref(json);
    return s;
}

static status adapter_parse(const json_t *json, const char *where, struct checkpoint_adapter *out)
{
    const char *targets, *base, *sha256;
    double alpha;
    TRY(json_get_integer(json, where, "rank", &out->settings.rank));
    TRY(json_get_number(json, where, "alpha", &alpha));
    TRY(json_get_text(json, where, "targets", &targets));
    TRY(json_get_text(json, where, "base", &base));
    TRY(json_get_text(json, where, "base_sha256", &sha256));
    if (out->settings.rank < 1 || out->settings.rank > ADAPTER_RANK_MAX ||
        strlen(targets) >= sizeof out->settings.targets || strlen(base) >= sizeof out->base ||
        strlen(sha256) >= sizeof out->base_sha256)
        FAIL(STATUS_INPUT, "%s: no adapters of this program", where);
    out->settings.alpha = (float)alpha;
    strcpy(out->settings.targets, targets);
    strcpy(out->base, base);
    strcpy(out->base_sha256, sha256);
    return NULL;
}

status checkpoint_read_adapter(const char *folder, bool *found, struct checkpoint_adapter *out)
{
    struct store *store;
    void *text = NULL;
    int64_t size;
    json_t *json;
    memset(out, 0, sizeof *out);
    TRY(store_open_in(folder, "model.h5", &store));
    *found = store_has(store, adapter_name);
    status s = *found ? store_read_all(store, adapter_name, STORE_BYTES, &text, &size) : NULL;
    s = store_close_after(store, s);
    if (s || !*found) return s;
    char where[LONG_PATH];
    snprintf(where, sizeof where, "%s/model.h5: adapter.json", folder);
    s = json_parse(text, (size_t)size, where, &json);
    free(text);
    if (s) return s;
    s = adapter_parse(json, where, out);
    json_decref(json);
    return s;
}

/* Numbers that training would spread, refused where they lie. */
static status check_finite(const char *where, const char *name, const float *values, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        if (!isfinite(values[i]))
            FAIL(STATUS_INPUT, "%s: %s: element %lld is not finite", where, name, (long long)i);
    return NULL;
}

static status read_parameters(struct store *store, const struct parameters *parameters,
                              const char *folder, float *host)
{
    for (int64_t i = 0; i < parameters->count; i++) {
        const struct parameter *p = &parameters->list[i];
        int rank;
        int64_t shape[STORE_RANK_MAX];
        TRY(store_shape(store, p->name, STORE_FLOATS, &rank, shape));
        if (rank != p->rank || shape[0] != p->shape[0] || (rank == 2 && shape[1] != p->shape[1]))
            FAIL(STATUS_INPUT, "%s/model.h5: %s has another shape than the model", folder, p->name);
        TRY(store_read(store, p->name, STORE_FLOATS, host + p->offset));
        char where[LONG_PATH];
        snprintf(where, sizeof where, "%s/model.h5", folder);
        TRY(check_finite(where, p->name, host + p->offset, p->count));
    }
    if (store_count(store) != parameters->count + 1 + store_has(store, adapter_name))
        FAIL(STATUS_INPUT, "%s/model.h5: tensors that the model does not have", folder);
    return NULL;
}

status checkpoint_read_model(const char *folder, const struct parameters *parameters, float *host)
{
    struct store *store;
    TRY(store_open_in(folder, "model.h5", &store));
    return store_close_after(store, read_parameters(store, parameters, folder, host));
}

status checkpoint_load_model(const char *folder, struct parameters *parameters)
{
    float *host = memory_allocate((size_t)parameters->size * sizeof *host);
    status s = checkpoint_read_model(folder, parameters, host);
    if (!s) s = parameters_upload(parameters, host);
    free(host);
    return s;
}

/* How many learners wrote the folder's slices; 0: it has none. */
static int slices_in(const char *folder)
{
    int learners = 0;
    DIR *directory = opendir(folder);
    if (!directory) return 0;
    for (struct dirent *e; (e = readdir(directory));) {
        int learner, of;
        if (sscanf(e->d_name, "learner-%d-of-%d.h5", &learner, &of) == 2) learners = of;
    }
    closedir(directory);
    return learners;
}

/* Adds one slice at the running end: slices are contiguous in the order of learners. */
static status add_slice(struct store *store, const char *name, const char *path, int learners,
                        float **values, int64_t *total, int64_t *end)
{
    int rank;
    int64_t shape[STORE_RANK_MAX], offset, whole;
    TRY(store_shape(store, name, STORE_FLOATS, &rank, shape));
    TRY(store_read_mark(store, name, "offset", &offset));
    TRY(store_read_mark(store, name, "total", &whole));
    if (!*values) {
        if (whole < 0 || whole / learners > shape[0] + SLICE_FLOATS)
            FAIL(STATUS_INPUT, "%s: %s has %lld floats, too few for a part of %lld", path, name,
                 (long long)shape[0], (long long)whole);
        *total = whole;
        *values = memory_allocate((size_t)whole * sizeof **values + 1);
    }
    if (whole != *total || offset != *end || offset + shape[0] > whole)
        FAIL(STATUS_INPUT, "%s: its part of %s does not follow the one before", path, name);
    *end += shape[0];
    TRY(store_read(store, name, STORE_FLOATS, *values + offset));
    return check_finite(path, name, *values + offset, shape[0]);
}

status checkpoint_read_vector(const char *folder, const char *name, float **values, int64_t *total)
{
    int learners = slices_in(folder);
    int64_t end = 0;
    status s = NULL;
    *values = NULL;
    *total = 0;
    if (learners < 1) FAIL(STATUS_INPUT, "%s: no learner-*.h5: a model, not a run", folder);
    for (int l = 0; l < learners && !s; l++) {
        char file[CHECKPOINT_NAME_MAX], path[LONG_PATH];
        struct store *store;
        checkpoint_slice_name(l, learners, file);
        snprintf(path, sizeof path, "%s/%s", folder, file);
        s = store_open(path, &store);
        if (!s)
            s = store_close_after(store,
                                  add_slice(store, name, path, learners, values, total, &end));
    }
    if (!s && end != *total)
        s = ERROR(STATUS_INPUT, "%s: %s has %lld of %lld floats", folder, name, (long long)end,
                  (long long)*total);
    if (s) {
        free(*values);
        *values = NULL;
    }
    return s;
}
