/* Durable files; the protocol is write under a temporary name, flush, fsync, rename, fsync of
 * the folder. */
#include "src/base/file.h"

#include "src/base/heartbeat.h"
#include "src/base/memory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/evp.h>

enum { PIECE = 1 << 24 }; /* bytes read at once */

/* -: standard input or output. */
static bool is_standard(const char *path)
{
    return !strcmp(path, "-");
}

const char *file_read_name(const char *path)
{
    return is_standard(path) ? "standard input" : path;
}

static FILE *open_to_read(const char *path)
{
    if (!is_standard(path)) return fopen(path, "rb");
    const int descriptor = dup(STDIN_FILENO);
    return descriptor < 0 ? NULL : fdopen(descriptor, "rb");
}

status file_read(const char *path, char **data, size_t *size)
{
    *data = NULL;
    *size = 0;
    struct stat information;
    FILE *stream = open_to_read(path);
    path = file_read_name(path);
    if (!stream) FAIL(STATUS_INPUT, "cannot read %s: %s", path, strerror(errno));
    if (fstat(fileno(stream), &information)) information = (struct stat){.st_size = 0};
    if (S_ISDIR(information.st_mode)) {
        fclose(stream);
        FAIL(STATUS_INPUT, "cannot read %s: it is a directory, not a file", path);
    }
    size_t capacity = information.st_size > 0 ? (size_t)information.st_size + 1 : 65536;
    char *buffer = memory_allocate(capacity);
    size_t used = 0;
    for (;;) {
        const size_t left = capacity - 1 - used;
        used += fread(buffer + used, 1, left < PIECE ? left : PIECE, stream);
        heartbeat_note();
        if (ferror(stream) || feof(stream)) break;
        if (used == capacity - 1) {
            int next = fgetc(stream); /* a pipe, or a file that grew */
            if (next == EOF) break;
            capacity *= 2;
            buffer = memory_resize(buffer, capacity);
            buffer[used++] = (char)next;
        }
    }
    if (ferror(stream)) {
        status s = ERROR(STATUS_INPUT, "cannot read %s: %s", path, strerror(errno));
        fclose(stream);
        free(buffer);
        return s;
    }
    fclose(stream);
    buffer[used] = 0;
    *data = buffer;
    *size = used;
    return NULL;
}

bool file_exists(const char *path)
{
    struct stat information;
    return stat(path, &information) == 0 && !S_ISDIR(information.st_mode);
}

bool directory_exists(const char *path)
{
    struct stat information;
    return stat(path, &information) == 0 && S_ISDIR(information.st_mode);
}

status directory_create(const char *path)
{
    if (mkdir(path, 0777) == 0) return NULL;
    int reason = errno;
    if (reason == EEXIST && directory_exists(path)) return NULL;
    FAIL(STATUS_INPUT, "cannot create the folder %s: %s", path, strerror(reason));
}

status directory_create_all(const char *path)
{
    char part[4096];
    size_t length = strlen(path);
    if (length == 0 || length >= sizeof part)
        FAIL(STATUS_INPUT, "cannot create the folder \"%s\": its name is %s", path,
             length ? "too long" : "empty");
    for (size_t i = 1; i <= length; i++)
        if ((path[i] == '/' || !path[i]) && path[i - 1] != '/') {
            memcpy(part, path, i);
            part[i] = 0;
            if (!directory_exists(part)) TRY(directory_create(part));
        }
    return NULL;
}

status directory_sync(const char *path)
{
    int descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0) FAIL(STATUS_INPUT, "cannot open the folder %s: %s", path, strerror(errno));
    /* Some network file systems do not know fsync of a folder and say EINVAL. */
    int failed = fsync(descriptor) != 0 && errno != EINVAL && errno != ENOTSUP;
    int reason = errno;
    close(descriptor);
    if (failed) FAIL(STATUS_INTERNAL, "cannot sync the folder %s: %s", path, strerror(reason));
    return NULL;
}

status directory_remove(const char *path)
{
    DIR *directory = opendir(path);
    if (!directory) FAIL(STATUS_INPUT, "cannot open the folder %s: %s", path, strerror(errno));
    status s = NULL;
    for (struct dirent *entry; !s && (entry = readdir(directory));) {
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
        size_t size = strlen(path) + strlen(entry->d_name) + 2;
        char *inner = memory_allocate(size);
        snprintf(inner, size, "%s/%s", path, entry->d_name);
        struct stat information;
        if (lstat(inner, &information))
            s = ERROR(STATUS_INPUT, "cannot look at %s: %s", inner, strerror(errno));
        else if (S_ISDIR(information.st_mode))
            s = directory_remove(inner);
        else if (unlink(inner))
            s = ERROR(STATUS_INPUT, "cannot remove %s: %s", inner, strerror(errno));
        free(inner);
    }
    closedir(directory);
    if (!s && rmdir(path))
        s = ERROR(STATUS_INPUT, "cannot remove the folder %s: %s", path, strerror(errno));
    return s;
}

/* Temporary files that are there, for file_abandon_all: a slot's owner alone changes its name. */
enum { TEMPORARIES = 16 };
static struct {
    atomic_int state; /* 0: free, 1: taken, 2: its name is whole */
    char name[1088];
} temporaries[TEMPORARIES];

static void temporary_note(const char *name)
{
    for (int i = 0; i < TEMPORARIES; i++) {
        int expected = 0;
        if (!atomic_compare_exchange_strong(&temporaries[i].state, &expected, 1)) continue;
        strcpy(temporaries[i].name, name);
        atomic_store(&temporaries[i].state, 2);
        return;
    }
}

static void temporary_forget(const char *name)
{
    for (int i = 0; i < TEMPORARIES; i++)
        if (atomic_load(&temporaries[i].state) == 2 && !strcmp(temporaries[i].name, name))
            atomic_store(&temporaries[i].state, 0);
}

void file_abandon_all(void)
{
    for (int i = 0; i < TEMPORARIES; i++)
        if (atomic_load(&temporaries[i].state) == 2) unlink(temporaries[i].name);
}

status file_begin(struct file_writer *writer, const char *path)
{
    *writer = (struct file_writer){0};
    if (!*path) FAIL(STATUS_INPUT, "cannot write a file without a name");
    if (strlen(path) >= sizeof writer->path)
        FAIL(STATUS_INPUT, "cannot write %s: the name is too long", path);
    strcpy(writer->path, path);
    if (is_standard(path)) {
        strcpy(writer->path, "standard output");
        writer->stream = stdout;
        return NULL;
    }
    struct stat information;
    bool there = stat(path, &information) == 0;
    if (there && S_ISDIR(information.st_mode))
        FAIL(STATUS_INPUT, "cannot write %s: it is a folder", path);
    /* A pipe or a device (/dev/stdout) is written as it is: it must not be renamed over. */
    if (!there || S_ISREG(information.st_mode))
        snprintf(writer->temporary, sizeof writer->temporary, "%s.tmp.%ld", path, (long)getpid());
    writer->stream = fopen(writer->temporary[0] ? writer->temporary : path, "wb");
    if (!writer->stream) FAIL(STATUS_INPUT, "cannot write %s: %s", path, strerror(errno));
    if (writer->temporary[0]) temporary_note(writer->temporary);
    return NULL;
}

static status parent_sync(const char *path)
{
    char parent[1024];
    const char *slash = strrchr(path, '/');
    size_t length = slash ? (size_t)(slash - path) : 0;
    memcpy(parent, path, length);
    strcpy(parent + length, length ? "" : slash ? "/" : ".");
    return directory_sync(parent);
}

status file_commit(struct file_writer *writer)
{
    bool renamed = writer->temporary[0] != 0;
    heartbeat_note();
    const bool standard = writer->stream == stdout;
    bool failed = ferror(writer->stream) || fflush(writer->stream) ||
                  (renamed && fsync(fileno(writer->stream)));
    int reason = errno;
    if (!standard && fclose(writer->stream) && !failed) {
        failed = true;
        reason = errno;
    }
    writer->stream = NULL;
    if (!failed && renamed && rename(writer->temporary, writer->path)) {
        failed = true;
        reason = errno;
    }
    if (failed && renamed) unlink(writer->temporary);
    if (renamed) temporary_forget(writer->temporary);
    if (failed) FAIL(STATUS_INPUT, "cannot write %s: %s", writer->path, strerror(reason));
    return renamed ? parent_sync(writer->path) : NULL;
}

void file_abandon(struct file_writer *writer)
{
    if (!writer->stream) return;
    if (writer->stream != stdout) fclose(writer->stream);
    writer->stream = NULL;
    if (!writer->temporary[0]) return;
    unlink(writer->temporary);
    temporary_forget(writer->temporary);
}

size_t text_bom(const char *text, size_t size)
{
    return size >= 3 && !memcmp(text, "\xef\xbb\xbf", 3) ? 3 : 0;
}

status file_write(const char *path, const void *data, size_t size)
{
    struct file_writer writer;
    TRY(file_begin(&writer, path));
    if (size) fwrite(data, 1, size, writer.stream); /* file_commit looks at ferror */
    return file_commit(&writer);
}

status file_copy(const char *from, const char *to)
{
    FILE *source = fopen(from, "rb");
    if (!source) FAIL(STATUS_INPUT, "cannot read %s: %s", from, strerror(errno));
    struct file_writer writer;
    status s = file_begin(&writer, to);
    if (s) {
        fclose(source);
        return s;
    }
    char *buffer = memory_allocate(1 << 20);
    for (size_t count; (count = fread(buffer, 1, 1 << 20, source)) > 0;)
        if (fwrite(buffer, 1, count, writer.stream) != count) break;
    free(buffer);
    bool failed = ferror(source);
    fclose(source);
    if (failed) {
        file_abandon(&writer);
        FAIL(STATUS_INPUT, "cannot read %s", from);
    }
    return file_commit(&writer);
}

status folder_begin(struct folder_writer *writer, const char *path)
{
    *writer = (struct folder_writer){.there = directory_exists(path)};
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/') length--;
    if (length == 0 || length >= sizeof writer->path)
        FAIL(STATUS_INPUT, "cannot create the folder \"%s\": its name is %s", path,
             length ? "too long" : "empty");
    memcpy(writer->path, path, length);
    snprintf(writer->temporary, sizeof writer->temporary,
             writer->there ? "%s/.tmp.%ld" : "%s.tmp.%ld", writer->path, (long)getpid());
    status s = directory_create(writer->temporary);
    if (s) writer->temporary[0] = 0;
    return s;
}

/* Moves every file of a folder into the one that holds it. */
static status files_lift(const char *from, const char *to)
{
    DIR *directory = opendir(from);
    if (!directory) FAIL(STATUS_INPUT, "cannot open the folder %s: %s", from, strerror(errno));
    status s = NULL;
    for (struct dirent *entry; !s && (entry = readdir(directory));) {
        char here[1400], there[1400];
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
        snprintf(here, sizeof here, "%s/%s", from, entry->d_name);
        snprintf(there, sizeof there, "%s/%s", to, entry->d_name);
        if (rename(here, there))
            s = ERROR(STATUS_INPUT, "cannot write %s: %s", there, strerror(errno));
    }
    closedir(directory);
    return s;
}

status folder_commit(struct folder_writer *writer)
{
    TRY(directory_sync(writer->temporary));
    if (writer->there) {
        TRY(files_lift(writer->temporary, writer->path));
        TRY(directory_remove(writer->temporary));
        writer->temporary[0] = 0;
        return directory_sync(writer->path);
    }
    if (rename(writer->temporary, writer->path))
        FAIL(STATUS_INPUT, "cannot create the folder %s: %s", writer->path, strerror(errno));
    writer->temporary[0] = 0;
    return parent_sync(writer->path);
}

void folder_abandon(struct folder_writer *writer)
{
    if (writer->temporary[0]) status_free(directory_remove(writer->temporary));
    writer->temporary[0] = 0;
}

struct sha256 {
    EVP_MD_CTX *context;
    bool failed;
};

struct sha256 *sha256_begin(void)
{
    struct sha256 *hash = memory_allocate(sizeof *hash);
    hash->context = EVP_MD_CTX_new();
    hash->failed = !hash->context || EVP_DigestInit_ex(hash->context, EVP_sha256(), NULL) != 1;
    return hash;
}

void sha256_add(struct sha256 *hash, const void *data, size_t size)
{
    heartbeat_note();
    if (!hash->failed) hash->failed = EVP_DigestUpdate(hash->context, data, size) != 1;
}

status sha256_end(struct sha256 *hash, char hex[SHA256_HEX])
{
    unsigned char digest[EVP_MAX_MD_SIZE] = {0};
    unsigned int size = 0;
    const bool fine =
        !hash->failed && EVP_DigestFinal_ex(hash->context, digest, &size) == 1 && size == 32;
    for (unsigned int i = 0; i < 32; i++) snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    EVP_MD_CTX_free(hash->context);
    free(hash);
    if (!fine) FAIL(STATUS_INTERNAL, "OpenSSL gives no SHA-256");
    return NULL;
}

status sha256_file(const char *path, char hex[SHA256_HEX])
{
    FILE *stream = fopen(path, "rb");
    if (!stream) FAIL(STATUS_INPUT, "cannot read %s: %s", path, strerror(errno));
    struct sha256 *hash = sha256_begin();
    char *buffer = memory_allocate(1 << 20);
    for (size_t count; (count = fread(buffer, 1, 1 << 20, stream)) > 0;)
        sha256_add(hash, buffer, count);
    bool failed = ferror(stream);
    free(buffer);
    fclose(stream);
    TRY(sha256_end(hash, hex));
    if (failed) FAIL(STATUS_INPUT, "cannot read %s", path);
    return NULL;
}
