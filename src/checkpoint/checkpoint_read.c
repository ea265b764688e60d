/* Verifying and reading checkpoints; HDF5 opens nothing before the hashes were right. */
#include "src/checkpoint/checkpoint.h"

#include "src/base/json.h"
#include "src/base/log.h"
#include "src/base/memory.h"
#include "src/base/slices.h"
#include "src/checkpoint/store.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { LONG_PATH = CHECKPOINT_PATH_MAX + 384 };

/* ---- verifying ---- */

/* The manifest's own hash stands in its last line, over all bytes before that line. */
static status check_manifest_text(const char *path, const char *text, size_t size)
{
    static const char mark[] = "\"manifest_sha256\": \"";
    enum { TAIL = sizeof mark - 1 + 64 + 3 };
    char hex[SHA256_HEX], expected[TAIL + 1];
    if (size > TAIL) {
        struct sha256 *hash = sha256_begin();
        sha256_add(hash, text, size - TAIL);
        TRY(sha256_end(hash, hex));
        snprintf(expected, sizeof expected, "%s%s\"}\n", mark, hex);
        if (memcmp(expected, text + size - TAIL, TAIL) == 0) return NULL;
    }
    FAIL(STATUS_INPUT, "%s is cut, changed or not regard's", path);
}

static status check_file(const char *folder, const json_t *entry, const char *where)
{
    const char *name, *sha256;
    int64_t size;
    struct checkpoint_file file;
    TRY(json_get_text(entry, where, "name", &name));
    TRY(json_get_text(entry, where, "sha256", &sha256));
    TRY(json_get_integer(entry, where, "size", &size));
    if (strchr(name, '/') || name[0] == '.')
        FAIL(STATUS_INPUT, "%s names the file %s", where, name);
    char path[LONG_PATH];
    struct stat about;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    if (stat(path, &about) != 0) FAIL(STATUS_INPUT, "%s is missing", path);
    if (about.st_size != size)
        FAIL(STATUS_INPUT, "%s has %lld bytes, its manifest says %lld", path,
             (long long)about.st_size, (long long)size);
    TRY(checkpoint_file_entry(folder, name, &file));
    if (strcmp(file.sha256, sha256) != 0)
        FAIL(STATUS_INPUT, "%s does not have the SHA-256 its manifest says", path);
    return NULL;
}

static bool manifest_lists(const json_t *files, const char *name)
{
    size_t i;
    const json_t *entry;
    json_array_foreach(files, i, entry)
    {
        const char *listed = json_string_value(json_object_get(entry, "name"));
        if (listed && !strcmp(listed, name)) return true;
    }
    return false;
}

static status check_no_others(const char *folder, const json_t *files)
{
    DIR *directory = opendir(folder);
    if (!directory) FAIL(STATUS_INPUT, "cannot list %s: %s", folder, strerror(errno));
    status s = NULL;
    for (struct dirent *e; !s && (e = readdir(directory));)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 &&
            strcmp(e->d_name, "manifest.json") != 0 && !manifest_lists(files, e->d_name))
            s = ERROR(STATUS_INPUT, "%s holds %s, which its manifest does not list", folder,
                      e->d_name);
    closedir(directory);
    return s;
}

static status check_manifest(const char *folder, const json_t *manifest, const char *path,
                             int64_t *step)
{
    int64_t format;
    TRY(json_get_integer(manifest, path, "format", &format));
    TRY(json_get_integer(manifest, path, "step", step));
    if (format != CHECKPOINT_FORMAT)
        FAIL(STATUS_INPUT, "%s: format %lld, this regard reads %d", path, (long long)format,
             CHECKPOINT_FORMAT);
    const json_t *files = json_object_get(manifest, "files"), *entry;
    size_t i;
    if (!json_is_array(files)) FAIL(STATUS_INPUT, "%s: no list of files", path);
    if (!manifest_lists(files, "model.h5")) FAIL(STATUS_INPUT, "%s: no model.h5", path);
    json_array_foreach(files, i, entry) TRY(check_file(folder, entry, path));
    return check_no_others(folder, files);
}

status checkpoint_verify(const char *folder, int64_t *step)
{
    char path[LONG_PATH], *text;
    size_t size;
    int64_t found = -1;
    json_t *manifest;
    snprintf(path, sizeof path, "%s/manifest.json", folder);
    if (!file_exists(path)) FAIL(STATUS_INPUT, "%s: no manifest.json, not a checkpoint", folder);
    TRY(file_read(path, &text, &size));
    status s = check_manifest_text(path, text, size);
    if (!s) s = json_parse_file(text, size, path, 0, &manifest);
    free(text);
    if (s) return s;
    s = check_manifest(folder, manifest, path, &found);
    json_decref(manifest);
    if (step) *step = found;
    return s;
}

/* ---- finding ---- */

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* Steps of the folders step-N followed by the ending, ascending. */
static status list_steps(const char *run, const char *ending, int64_t **steps, int64_t *count)
{
    char parent[LONG_PATH];
    snprintf(parent, sizeof parent, "%s/checkpoints", run);
    *count = 0;
    *steps = memory_allocate(sizeof **steps);
    if (!directory_exists(parent)) return NULL;
    DIR *directory = opendir(parent);
    if (!directory) {
        free(*steps);
        FAIL(STATUS_INPUT, "cannot list %s: %s", parent, strerror(errno));
    }
    for (struct dirent *e; (e = readdir(directory));) {
        if (strncmp(e->d_name, "step-", 5) != 0) continue;
        char *end;
        long long step = strtoll(e->d_name + 5, &end, 10);
        if (end == e->d_name + 5 || step < 0 || strcmp(end, ending) != 0) continue;
        *steps = memory_resize(*steps, (size_t)(*count + 1) * sizeof **steps);
        (*steps)[(*count)++] = step;
    }
    closedir(directory);
    qsort(*steps, (size_t)*count, sizeof **steps, by_value);
    return NULL;
}

status checkpoint_steps(const char *run, int64_t **steps, int64_t *count)
{
    return list_steps(run, "", steps, count);
}

static status set_aside(const char *folder, bool look_only, status why)
{
    char bad[LONG_PATH];
    snprintf(bad, sizeof bad, "%s.bad", folder);
    log_line(LOG_WARNING, "%s; %s as %s", status_message(why),
             look_only ? "a run would set it aside" : "set aside", bad);
    status_free(why);
    if (look_only) return NULL;
    if (directory_exists(bad)) TRY(directory_remove(bad));
    if (rename(folder, bad) != 0)
        FAIL(STATUS_INPUT, "cannot set aside %s: %s", folder, strerror(errno));
    return NULL;
}

status checkpoint_newest(const char *run, bool look_only, char folder[CHECKPOINT_PATH_MAX],
                         int64_t *step)
{
    int64_t *steps, *set, count, set_count, failed = 0;
    *step = -1;
    folder[0] = 0;
    TRY(checkpoint_steps(run, &steps, &count));
    status s = NULL;
    for (int64_t i = count - 1; i >= 0 && !s && *step < 0; i--) {
        int64_t found = -1;
        checkpoint_folder(run, steps[i], folder);
        status bad = checkpoint_verify(folder, &found);
        if (!bad && found != steps[i])
            bad = ERROR(STATUS_INPUT, "%s: its manifest is of step %lld", folder, (long long)found);
        if (bad) {
            failed += look_only;
            s = set_aside(folder, look_only, bad);
        } else
            *step = steps[i];
    }
    free(steps);
    if (s || *step >= 0) return s;
    folder[0] = 0;
    TRY(list_steps(run, ".bad", &set, &set_count));
    free(set);
    set_count += failed; /* not renamed */
    if (set_count > 0)
        FAIL(STATUS_INPUT,
             "%s/checkpoints: %lld checkpoints, none of which verifies (step-*.bad); not starting "
             "over: mend one or take another --run folder",
             run, (long long)set_count);
    return NULL;
}

/* ---- reading ---- */

static status open_in(const char *folder, const char *name, struct store **store)
{
    char path[LONG_PATH];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return store_open(path, store);
}

static status close_after(struct store *store, status s)
{
    status closed = store_close(store);
    if (!s) return closed;
    status_free(closed);
    return s;
}

/* A rank 1 dataset with a NUL after its bytes. */
static status read_all(struct store *store, const char *name, int type, void **values,
                       int64_t *count)
{
    static const size_t sizes[] = {1, 4, 8, 8};
    int rank;
    int64_t shape[2];
    TRY(store_shape(store, name, type, &rank, shape));
    *count = shape[0] * shape[1];
    *values = memory_allocate((size_t)*count * sizes[type] + 1);
    status s = store_read(store, name, type, *values);
    if (s) {
        free(*values);
        *values = NULL;
    }
    return s;
}

status checkpoint_read_shape(const char *folder, struct model_shape **shape)
{
    struct store *store;
    void *text = NULL;
    int64_t size;
    json_t *json;
    TRY(open_in(folder, "model.h5", &store));
    TRY(close_after(store, read_all(store, "shape.json", STORE_BYTES, &text, &size)));
    char where[LONG_PATH];
    snprintf(where, sizeof where, "%s/model.h5: shape.json", folder);
    status s = json_parse(text, (size_t)size, where, &json);
    free(text);
    if (s) return s;
    s = model_shape_from_json(json, where, shape);
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
        int64_t shape[2];
        TRY(store_shape(store, p->name, STORE_FLOATS, &rank, shape));
        if (rank != p->rank || shape[0] != p->shape[0] || (rank == 2 && shape[1] != p->shape[1]))
            FAIL(STATUS_INPUT, "%s/model.h5: %s has another shape than the model", folder, p->name);
        TRY(store_read(store, p->name, STORE_FLOATS, host + p->offset));
        char where[LONG_PATH];
        snprintf(where, sizeof where, "%s/model.h5", folder);
        TRY(check_finite(where, p->name, host + p->offset, p->count));
    }
    if (store_count(store) != parameters->count + 1)
        FAIL(STATUS_INPUT, "%s/model.h5: tensors that the model does not have", folder);
    return NULL;
}

status checkpoint_read_model(const char *folder, const struct parameters *parameters, float *host)
{
    struct store *store;
    TRY(open_in(folder, "model.h5", &store));
    return close_after(store, read_parameters(store, parameters, folder, host));
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
    int64_t shape[2], offset, whole;
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
        if (!s) s = close_after(store, add_slice(store, name, path, learners, values, total, &end));
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

status checkpoint_read_state(const char *folder, const char *name, int kind, void **values,
                             int64_t *count)
{
    static const int types[] = {STORE_BYTES, STORE_BYTES, STORE_FLOATS, STORE_DOUBLES,
                                STORE_INTEGERS};
    struct store *store;
    *values = NULL;
    *count = 0;
    TRY(open_in(folder, "state.h5", &store));
    return close_after(store, read_all(store, name, types[kind], values, count));
}

bool checkpoint_has_state(const char *folder, const char *name)
{
    struct store *store;
    char path[LONG_PATH];
    snprintf(path, sizeof path, "%s/state.h5", folder);
    if (!file_exists(path)) return false;
    status s = store_open(path, &store);
    bool has = !s && store_has(store, name);
    if (!s) s = store_close(store);
    status_free(s);
    return has;
}
