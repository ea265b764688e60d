/* Writing and publishing checkpoints; see checkpoint.h for the protocol. */
#include "src/checkpoint/checkpoint.h"

#include "src/base/json.h"
#include "src/base/log.h"
#include "src/base/memory.h"
#include "src/base/version.h"
#include "src/checkpoint/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LONG_PATH = CHECKPOINT_PATH_MAX + 128 };

void checkpoint_folder(const char *run, int64_t step, char out[CHECKPOINT_PATH_MAX])
{
    snprintf(out, CHECKPOINT_PATH_MAX, "%s/checkpoints/step-%06lld", run, (long long)step);
}

void checkpoint_temporary(const char *run, int64_t step, char out[CHECKPOINT_PATH_MAX])
{
    snprintf(out, CHECKPOINT_PATH_MAX, "%s/checkpoints/step-%06lld.tmp", run, (long long)step);
}

void checkpoint_slice_name(int learner, int learners, char out[CHECKPOINT_NAME_MAX])
{
    snprintf(out, CHECKPOINT_NAME_MAX, "learner-%04d-of-%04d.h5", learner, learners);
}

/* The greatest N of the files attempt-N in a run's checkpoints. */
static int64_t newest_attempt(const char *parent)
{
    int64_t newest = 0;
    DIR *directory = opendir(parent);
    if (!directory) return 0;
    for (struct dirent *e; (e = readdir(directory));) {
        long long number;
        if (sscanf(e->d_name, "attempt-%lld", &number) == 1 && number > newest) newest = number;
    }
    closedir(directory);
    return newest;
}

static status take_attempt(const char *parent, int64_t *attempt)
{
    for (int64_t number = newest_attempt(parent) + 1;; number++) {
        char path[LONG_PATH];
        snprintf(path, sizeof path, "%s/attempt-%06lld", parent, (long long)number);
        int descriptor = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644);
        if (descriptor < 0 && errno == EEXIST) continue;
        if (descriptor < 0) FAIL(STATUS_INPUT, "cannot create %s: %s", path, strerror(errno));
        close(descriptor);
        *attempt = number;
        for (int64_t old = number - 1; old > 0; old--) {
            snprintf(path, sizeof path, "%s/attempt-%06lld", parent, (long long)old);
            if (unlink(path) != 0) break;
        }
        return directory_sync(parent);
    }
}

/* What writers that were killed left behind: half-written and half-deleted folders. */
static status remove_leftovers(const char *parent)
{
    DIR *directory = opendir(parent);
    if (!directory) FAIL(STATUS_INPUT, "cannot list %s: %s", parent, strerror(errno));
    status s = NULL;
    for (struct dirent *e; !s && (e = readdir(directory));) {
        const size_t length = strlen(e->d_name);
        char path[LONG_PATH + 256];
        if (strncmp(e->d_name, "step-", 5) != 0) continue;
        if (length < 4 || strcmp(e->d_name + length - 4, ".tmp") != 0) continue;
        snprintf(path, sizeof path, "%s/%s", parent, e->d_name);
        if (directory_exists(path)) s = directory_remove(path);
    }
    closedir(directory);
    return s;
}

static status check_attempt(const char *parent, int64_t attempt)
{
    int64_t newest = newest_attempt(parent);
    if (newest == attempt) return NULL;
    FAIL(STATUS_INPUT,
         "%s: another job (attempt %lld) writes here now, this one is attempt %lld and stops",
         parent, (long long)newest, (long long)attempt);
}

status checkpoint_claim(const char *run, int64_t *attempt)
{
    char parent[CHECKPOINT_PATH_MAX];
    if (strlen(run) > CHECKPOINT_PATH_MAX - 200) FAIL(STATUS_INPUT, "%s: path too long", run);
    snprintf(parent, sizeof parent, "%s/checkpoints", run);
    TRY(directory_create(parent));
    TRY(take_attempt(parent, attempt));
    return remove_leftovers(parent);
}

status checkpoint_begin(const char *run, int64_t step, int64_t *attempt)
{
    char parent[CHECKPOINT_PATH_MAX], folder[CHECKPOINT_PATH_MAX];
    if (*attempt == 0) TRY(checkpoint_claim(run, attempt));
    snprintf(parent, sizeof parent, "%s/checkpoints", run);
    TRY(check_attempt(parent, *attempt));
    checkpoint_temporary(run, step, folder);
    if (directory_exists(folder)) TRY(directory_remove(folder));
    return directory_create(folder);
}

static status store_finish(struct store *store, status s)
{
    status closed = store_close(store);
    if (!s) return closed;
    status_free(closed);
    return s;
}

status checkpoint_write_model(const char *folder, const struct parameters *parameters,
                              const float *host, const struct model_shape *shape)
{
    char path[LONG_PATH];
    struct store *store;
    snprintf(path, sizeof path, "%s/model.h5", folder);
    TRY(store_create(path, &store));
    char *text = model_shape_to_json(shape);
    const int64_t length = (int64_t)strlen(text);
    status s = store_write(store, "shape.json", STORE_BYTES, text, 1, &length);
    free(text);
    for (int64_t i = 0; i < parameters->count && !s; i++) {
        const struct parameter *p = &parameters->list[i];
        s = store_write(store, p->name, STORE_FLOATS, host + p->offset, p->rank, p->shape);
    }
    return store_finish(store, s);
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
    return store_finish(store, s);
}

status checkpoint_write_state(const char *folder, const struct checkpoint_entry *entries,
                              int64_t count)
{
    static const int types[] = {STORE_BYTES, STORE_BYTES, STORE_FLOATS, STORE_DOUBLES,
                                STORE_INTEGERS};
    char path[LONG_PATH];
    struct store *store;
    snprintf(path, sizeof path, "%s/state.h5", folder);
    TRY(store_create(path, &store));
    status s = NULL;
    for (int64_t i = 0; i < count && !s; i++)
        s = store_write(store, entries[i].name, types[entries[i].kind], entries[i].values, 1,
                        &entries[i].count);
    return store_finish(store, s);
}

status checkpoint_copy_tokenizer(const char *from, const char *to)
{
    static const char *const names[] = {
        "spiece.model",   "tokenizer_config.json", "special_tokens_map.json",
        "tokenizer.json", "added_tokens.json",     "generation_config.json",
        "idf.tsv"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char source[LONG_PATH], target[LONG_PATH];
        snprintf(source, sizeof source, "%s/%s", from, names[i]);
        snprintf(target, sizeof target, "%s/%s", to, names[i]);
        if (file_exists(source)) TRY(file_copy(source, target));
    }
    return NULL;
}

status checkpoint_file_entry(const char *folder, const char *name, struct checkpoint_file *out)
{
    char path[LONG_PATH];
    struct stat about;
    memset(out, 0, sizeof *out);
    snprintf(path, sizeof path, "%s/%s", folder, name);
    if (strlen(name) >= sizeof out->name) FAIL(STATUS_INPUT, "%s: name too long", path);
    if (stat(path, &about) != 0) FAIL(STATUS_INPUT, "cannot read %s: %s", path, strerror(errno));
    snprintf(out->name, sizeof out->name, "%s", name);
    out->size = about.st_size;
    return sha256_file(path, out->sha256);
}

status checkpoint_list_files(const char *folder, struct checkpoint_file **out, int64_t *count)
{
    struct dirent **list;
    *out = NULL;
    *count = 0;
    int found = scandir(folder, &list, NULL, alphasort);
    if (found < 0) FAIL(STATUS_INPUT, "cannot list %s: %s", folder, strerror(errno));
    status s = NULL;
    *out = memory_allocate((size_t)found * sizeof **out + 1);
    for (int i = 0; i < found; i++) {
        const char *name = list[i]->d_name;
        bool skip = !strcmp(name, ".") || !strcmp(name, "..") || !strcmp(name, "manifest.json");
        if (!skip && !s) s = checkpoint_file_entry(folder, name, &(*out)[*count]);
        if (!skip && !s) ++*count;
        free(list[i]);
    }
    free(list);
    if (s) {
        free(*out);
        *out = NULL;
    }
    return s;
}

/* The last line holds the hash of all that stands before it, so that no byte of the
 * manifest itself can change unseen. */
status checkpoint_write_manifest(const char *folder, int64_t step,
                                 const struct checkpoint_file *files, int64_t count)
{
    char *text = NULL, path[LONG_PATH], hex[SHA256_HEX];
    size_t size = 0;
    FILE *stream = memory_stream(&text, &size);
    fprintf(stream, "{\n\"format\": %d,\n\"regard\": \"%s\",\n\"step\": %lld,\n\"files\": [",
            CHECKPOINT_FORMAT, version_text, (long long)step);
    for (int64_t i = 0; i < count; i++) {
        fprintf(stream, "%s\n{\"name\": ", i ? "," : "");
        json_write_text(stream, files[i].name);
        fprintf(stream, ", \"size\": %lld, \"sha256\": \"%s\"}", (long long)files[i].size,
                files[i].sha256);
    }
    fprintf(stream, "],\n");
    memory_stream_flush(stream);
    struct sha256 *hash = sha256_begin();
    sha256_add(hash, text, size);
    status s = sha256_end(hash, hex);
    fprintf(stream, "\"manifest_sha256\": \"%s\"}\n", hex);
    memory_stream_close(stream);
    snprintf(path, sizeof path, "%s/manifest.json", folder);
    if (!s) s = file_write(path, text, size);
    free(text);
    return s;
}

/* The folder holds these files at these sizes and no others. */
static status check_listed(const char *folder, const struct checkpoint_file *files, int64_t count)
{
    DIR *directory = opendir(folder);
    if (!directory) FAIL(STATUS_INPUT, "cannot list %s: %s", folder, strerror(errno));
    status s = NULL;
    int64_t seen = 0;
    for (struct dirent *e; !s && (e = readdir(directory));) {
        char path[LONG_PATH + 256];
        struct stat about;
        int64_t i = 0;
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..")) continue;
        while (i < count && strcmp(files[i].name, e->d_name) != 0) i++;
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        if (i == count)
            s = ERROR(STATUS_INTERNAL, "%s was not reported by any rank", path);
        else if (stat(path, &about) != 0 || about.st_size != files[i].size)
            s = ERROR(STATUS_INTERNAL, "%s does not have the size its rank reported", path);
        else
            seen++;
    }
    closedir(directory);
    if (!s && seen != count)
        s = ERROR(STATUS_INTERNAL, "%s: %lld files reported, %lld there", folder, (long long)count,
                  (long long)seen);
    return s;
}

status checkpoint_publish(const char *run, int64_t step, int64_t attempt,
                          const struct checkpoint_file *files, int64_t count)
{
    char parent[CHECKPOINT_PATH_MAX], from[CHECKPOINT_PATH_MAX], to[CHECKPOINT_PATH_MAX];
    char old[LONG_PATH];
    snprintf(parent, sizeof parent, "%s/checkpoints", run);
    checkpoint_temporary(run, step, from);
    checkpoint_folder(run, step, to);
    TRY(check_listed(from, files, count));
    TRY(checkpoint_write_manifest(from, step, files, count));
    TRY(directory_sync(from));
    TRY(check_attempt(parent, attempt));
    snprintf(old, sizeof old, "%s.old.tmp", to);
    if (directory_exists(to)) {
        if (directory_exists(old)) TRY(directory_remove(old));
        if (rename(to, old) != 0) FAIL(STATUS_INTERNAL, "%s: %s", to, strerror(errno));
    }
    if (rename(from, to) != 0) FAIL(STATUS_INTERNAL, "cannot rename %s: %s", from, strerror(errno));
    TRY(directory_sync(parent));
    return directory_exists(old) ? directory_remove(old) : NULL;
}

void checkpoint_abandon(const char *run, int64_t step, int64_t attempt)
{
    char parent[CHECKPOINT_PATH_MAX], folder[CHECKPOINT_PATH_MAX];
    snprintf(parent, sizeof parent, "%s/checkpoints", run);
    checkpoint_temporary(run, step, folder);
    status s = attempt ? check_attempt(parent, attempt) : NULL;
    if (!s && attempt && directory_exists(folder)) s = directory_remove(folder);
    status_free(s); /* the save's own error is told */
}

status checkpoint_prune(const char *run, int64_t keep, int64_t best)
{
    int64_t *steps, count;
    char folder[CHECKPOINT_PATH_MAX], gone[CHECKPOINT_PATH_MAX];
    TRY(checkpoint_steps(run, &steps, &count));
    status s = NULL;
    if (keep < 1) keep = 1;
    if (count > keep) {
        checkpoint_folder(run, steps[count - 1], folder);
        s = checkpoint_verify(folder, NULL);
    }
    for (int64_t i = 0; i < count - keep && !s; i++) {
        if (steps[i] == best) continue;
        /* Renamed first: half a deletion must not look like a broken checkpoint. */
        checkpoint_folder(run, steps[i], folder);
        checkpoint_temporary(run, steps[i], gone);
        if (directory_exists(gone)) s = directory_remove(gone);
        if (!s && rename(folder, gone) != 0)
            s = ERROR(STATUS_INTERNAL, "cannot rename %s: %s", folder, strerror(errno));
        if (!s) s = directory_remove(gone);
    }
    free(steps);
    return s;
}
