/* The file of algorithms that a search has chosen: in $XDG_CACHE_HOME/regard or ~/.cache/regard,
 * one for each GPU model, library and driver.  It saves time and nothing else: a file that is
 * absent, damaged or another machine's is as good as an empty one, and one that cannot be written
 * is no error.  Several processes may write at once: each adds its own to what lies there and
 * renames a whole file into place; what is lost between two of them is searched again some day. */
#pragma once
#include "product.cuh"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct blas_choice {
    struct blas_shape shape;
    struct blas_algorithm algorithm;
};

struct blas_cache {
    char path[1024];    /* "": there is no place for a file */
    char identity[232]; /* GPU, library and driver; zeros behind it */
    struct blas_choice *choices;
    int64_t count;
};

struct blas_cache_header {
    char magic[8];
    uint64_t count, sum; /* sum: blas_hash of the choices */
    char identity[232];
};

static const char blas_cache_magic[8] = {'r', 'e', 'g', 'b', 'l', 'a', 's', '2'};
enum { blas_cache_max = 1 << 16 };

/* What was chosen for the shape, or NULL. */
static const struct blas_algorithm *blas_cache_find(const struct blas_cache *cache,
                                                    const struct blas_shape *shape)
{
    for (int64_t i = cache->count - 1; i >= 0; i--)
        if (memcmp(&cache->choices[i].shape, shape, sizeof *shape) == 0)
            return &cache->choices[i].algorithm;
    return NULL;
}

static bool blas_cache_append(struct blas_cache *cache, const struct blas_choice *choice)
{
    if (cache->count >= blas_cache_max) return false;
    struct blas_choice *more =
        (struct blas_choice *)realloc(cache->choices, (size_t)(cache->count + 1) * sizeof *more);
    if (!more) return false;
    cache->choices = more;
    cache->choices[cache->count++] = *choice;
    return true;
}

/* Adds what the file holds and `cache` does not. */
static void blas_cache_read(struct blas_cache *cache)
{
    struct blas_cache_header header;
    FILE *file = cache->path[0] ? fopen(cache->path, "rb") : NULL;
    if (!file) return;
    struct blas_choice *choices = NULL;
    bool good = fread(&header, sizeof header, 1, file) == 1 &&
                !memcmp(header.magic, blas_cache_magic, sizeof header.magic) &&
                !memcmp(header.identity, cache->identity, sizeof header.identity) &&
                header.count <= blas_cache_max;
    if (good) choices = (struct blas_choice *)malloc((size_t)header.count * sizeof *choices + 1);
    good = good && choices && fread(choices, sizeof *choices, header.count, file) == header.count &&
           fgetc(file) == EOF &&
           blas_hash(choices, (size_t)header.count * sizeof *choices) == header.sum;
    fclose(file);
    for (uint64_t i = 0; good && i < header.count; i++)
        if (!blas_cache_find(cache, &choices[i].shape)) blas_cache_append(cache, &choices[i]);
    free(choices);
}

static bool blas_cache_put(FILE *file, const struct blas_cache *cache)
{
    struct blas_cache_header header = {};
    const size_t count = (size_t)cache->count;
    memcpy(header.magic, blas_cache_magic, sizeof header.magic);
    memcpy(header.identity, cache->identity, sizeof header.identity);
    header.count = count;
    header.sum = blas_hash(cache->choices, count * sizeof *cache->choices);
    return fwrite(&header, sizeof header, 1, file) == 1 &&
           fwrite(cache->choices, sizeof *cache->choices, count, file) == count;
}

static void blas_cache_write(const struct blas_cache *cache)
{
    char next[sizeof cache->path + 16];
    if (!cache->path[0]) return;
    snprintf(next, sizeof next, "%s.XXXXXX", cache->path);
    for (char *slash = strchr(next + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0; /* the folder's parents, then the folder */
        (void)mkdir(next, 0777);
        *slash = '/';
    }
    const int descriptor = mkstemp(next);
    if (descriptor < 0) return;
    FILE *file = fdopen(descriptor, "wb");
    if (!file) close(descriptor);
    bool good = file && blas_cache_put(file, cache);
    if (file && fclose(file)) good = false;
    if (!good || rename(next, cache->path)) unlink(next);
}

/* Keeps a choice, here and on disk. */
static void blas_cache_add(struct blas_cache *cache, const struct blas_shape *shape,
                           const struct blas_algorithm *algorithm)
{
    const struct blas_choice choice = {*shape, *algorithm};
    if (!blas_cache_append(cache, &choice)) return;
    blas_cache_read(cache); /* what others have added meanwhile */
    blas_cache_write(cache);
}

/* False where there is no place for a file. */
static bool blas_cache_folder(char *path, size_t size)
{
    const char *base = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    int length = -1;
    if (base && base[0] == '/') /* others are to be ignored, says the XDG specification */
        length = snprintf(path, size, "%s/regard", base);
    else if (home && home[0] == '/')
        length = snprintf(path, size, "%s/.cache/regard", home);
    return length >= 0 && (size_t)length < size;
}

/* identity: of GPU, library and driver, together. */
static void blas_cache_open(struct blas_cache *cache, const char *identity)
{
    char folder[sizeof cache->path - sizeof cache->identity - 16];
    memset(cache, 0, sizeof *cache);
    snprintf(cache->identity, sizeof cache->identity, "%s", identity);
    if (blas_cache_folder(folder, sizeof folder))
        snprintf(cache->path, sizeof cache->path, "%s/matmul %s", folder, cache->identity);
    for (char *p = strrchr(cache->path, '/'); p && *++p;)
        if (!isalnum((unsigned char)*p)) *p = '-';
    blas_cache_read(cache);
}

static void blas_cache_close(struct blas_cache *cache)
{
    free(cache->choices);
    cache->choices = NULL;
    cache->count = 0;
}
