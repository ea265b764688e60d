/* See manifest.h. */
#include "src/checkpoint/manifest.h"

#include "src/base/file.h"
#include "src/base/json.h"
#include "src/base/log.h"
#include "src/base/memory.h"
#include "src/base/version.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { LONG_PATH = CHECKPOINT_PATH_MAX + 384 };

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

/* Files that others left there are of no harm and said; one that would be read as a part of the
 * checkpoint is refused. */
static status check_others(const char *folder, const json_t *files)
{
    DIR *directory = opendir(folder);
    if (!directory) FAIL(STATUS_INPUT, "cannot list %s: %s", folder, strerror(errno));
    status s = NULL;
    for (struct dirent *e; !s && (e = readdir(directory));) {
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..") ||
            !strcmp(e->d_name, "manifest.json") || manifest_lists(files, e->d_name))
            continue;
        if (checkpoint_is_read(e->d_name))
            s = ERROR(STATUS_INPUT, "%s holds %s, which its manifest does not list", folder,
                      e->d_name);
        else
            log_line(LOG_INFO, "%s: %s is not the checkpoint's and is ignored", folder, e->d_name);
    }
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
    return check_others(folder, files);
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
