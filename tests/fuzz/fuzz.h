/* What the fuzz targets share: bytes as a file and in a folder, and what every error must be. */
#ifndef REGARD_TESTS_FUZZ_H
#define REGARD_TESTS_FUZZ_H

#include "src/base/log.h"
#include "src/base/status.h"

#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* An error is one line of at least a few words without control characters, and blames the input. */
static inline void fuzz_ended(status s)
{
    if (!s) return;
    const char *message = status_message(s);
    if (strlen(message) < 8 || status_code(s) != STATUS_INPUT) abort();
    for (const char *c = message; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f) abort();
    status_free(s);
}

static inline void fuzz_fill(int file, const void *data, size_t size)
{
    if (file < 0 || ftruncate(file, 0) || pwrite(file, data, size, 0) != (ssize_t)size) abort();
}

/* A file of these bytes, in memory, until the next call. */
static inline const char *fuzz_file(const void *data, size_t size)
{
    static int file = -1;
    static char path[64];
    if (file < 0) {
        log_setup(LOG_ERROR, 0);
        file = memfd_create("input", MFD_CLOEXEC);
        snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    }
    fuzz_fill(file, data, size);
    return path;
}

/* The folder that fuzz_put writes into; in memory where the system has /dev/shm. */
static inline const char *fuzz_folder(void)
{
    static char path[64];
    if (path[0]) return path;
    log_setup(LOG_ERROR, 0);
    strcpy(path, "/dev/shm/regard-fuzz-XXXXXX");
    if (mkdtemp(path)) return path;
    strcpy(path, "/tmp/regard-fuzz-XXXXXX");
    if (!mkdtemp(path)) abort();
    return path;
}

/* A file of these bytes in the folder. */
static inline void fuzz_put(const char *name, const void *data, size_t size)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", fuzz_folder(), name);
    const int file = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0644);
    fuzz_fill(file, data, size);
    close(file);
}

/* The input's parts, with a line "====" between them; *rest gets what is behind the first. */
static inline size_t fuzz_part(const uint8_t *data, size_t size, const uint8_t **rest,
                               size_t *rest_size)
{
    const uint8_t *cut = memmem(data, size, "\n====\n", 6);
    *rest = cut ? cut + 6 : data + size;
    *rest_size = (size_t)(data + size - *rest);
    return cut ? (size_t)(cut - data) + 1 : size;
}

#endif
