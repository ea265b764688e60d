/* Weight files of a model folder; see folder_weights.h.  Owns the open files. */
#include "src/model/folder_weights.h"

#include "src/base/file.h"
#include "src/base/json.h"
#include "src/base/memory.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static void path_join(char out[1024], const char *folder, const char *name)
{
    snprintf(out, 1024, "%s/%s", folder, name);
}

bool folder_weights_exist(const char *folder)
{
    char single[1024], index[1024];
    path_join(single, folder, "model.safetensors");
    path_join(index, folder, "model.safetensors.index.json");
    return file_exists(single) || file_exists(index);
}

int64_t folder_weights_bytes(const char *folder)
{
    int64_t bytes = 0;
    DIR *directory = opendir(folder);
    if (!directory) return 0;
    for (struct dirent *e; (e = readdir(directory));) {
        char path[1024];
        struct stat about;
        const char *end = strrchr(e->d_name, '.');
        path_join(path, folder, e->d_name);
        if (end && !strcmp(end, ".safetensors") && !stat(path, &about)) bytes += about.st_size;
    }
    closedir(directory);
    return bytes;
}

static struct safetensors *shard_find(const struct folder_weights *weights, const char *path)
{
    for (int64_t i = 0; i < weights->count; i++)
        if (!strcmp(safetensors_path(weights->files[i]), path)) return weights->files[i];
    return NULL;
}

/* Opens the shards of `map` and checks it: every tensor is in the shard it names. */
static status shards_open(const char *folder, const char *index, json_t *map,
                          struct folder_weights *weights)
{
    weights->files = memory_allocate((json_object_size(map) + 1) * sizeof *weights->files);
    const char *name;
    json_t *value;
    json_object_foreach(map, name, value)
    {
        const char *shard = json_string_value(value);
        if (!shard)
            FAIL(STATUS_INPUT, "%s: weight_map: tensor %s: its shard is not a string", index, name);
        if (!*shard || strpbrk(shard, "/\\") || !strcmp(shard, ".") || !strcmp(shard, ".."))
            FAIL(STATUS_INPUT, "%s: weight_map: tensor %s: \"%s\" is not a plain file name", index,
                 name, shard);
        char path[1024];
        path_join(path, folder, shard);
        struct safetensors *file = shard_find(weights, path);
        if (!file) {
            TRY(status_context(safetensors_open(path, &file), "%s: weight_map: tensor %s", index,
                               name));
            weights->files[weights->count++] = file;
        }
        if (!safetensors_find(file, name))
            FAIL(STATUS_INPUT, "%s: weight_map: tensor %s is not in %s", index, name, shard);
    }
    return NULL;
}

/* The other way: every tensor of a shard is in the index, under that shard. */
static status shards_check(const char *index, const json_t *map,
                           const struct folder_weights *weights)
{
    for (int64_t i = 0; i < weights->count; i++) {
        const struct safetensors *file = weights->files[i];
        const char *path = safetensors_path(file), *shard = strrchr(path, '/') + 1;
        for (int64_t j = 0; j < safetensors_count(file); j++) {
            const char *name = safetensors_at(file, j)->name;
            const char *said = json_string_value(json_object_get(map, name));
            if (!said)
                FAIL(STATUS_INPUT, "%s: unexpected tensor %s: it is not in %s", path, name, index);
            if (strcmp(said, shard))
                FAIL(STATUS_INPUT, "%s: unexpected tensor %s: %s puts it in %s", path, name, index,
                     said);
        }
    }
    return NULL;
}

static status index_open(const char *folder, const char *index, struct folder_weights *weights)
{
    json_t *json = NULL;
    TRY(json_read(index, &json));
    json_t *map = json_object_get(json, "weight_map");
    status s = json_is_object(map)
                   ? shards_open(folder, index, map, weights)
                   : ERROR(STATUS_INPUT, "%s: weight_map is missing or not an object", index);
    if (!s) s = shards_check(index, map, weights);
    json_decref(json);
    return s;
}

status folder_weights_open(const char *folder, struct folder_weights *out)
{
    struct folder_weights weights = {0};
    char path[1024];
    status s;
    path_join(path, folder, "model.safetensors");
    if (file_exists(path)) {
        weights.files = memory_allocate(sizeof *weights.files);
        s = safetensors_open(path, &weights.files[0]);
        weights.count = s ? 0 : 1;
    } else {
        path_join(path, folder, "model.safetensors.index.json");
        if (!file_exists(path))
            FAIL(STATUS_INPUT,
                 "%s: no model.safetensors and no model.safetensors.index.json in this folder",
                 folder);
        s = index_open(folder, path, &weights);
    }
    if (s) {
        folder_weights_close(&weights);
        return s;
    }
    *out = weights;
    return NULL;
}

void folder_weights_close(struct folder_weights *weights)
{
    for (int64_t i = 0; i < weights->count; i++) safetensors_close(weights->files[i]);
    free(weights->files);
    *weights = (struct folder_weights){0};
}

const struct tensor *folder_weights_find(const struct folder_weights *weights, const char *name,
                                         const char **path)
{
    for (int64_t i = 0; i < weights->count; i++) {
        const struct tensor *tensor = safetensors_find(weights->files[i], name);
        if (!tensor) continue;
        if (path) *path = safetensors_path(weights->files[i]);
        return tensor;
    }
    return NULL;
}
