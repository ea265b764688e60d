/* Durable files: whole reads, atomic writes (temporary name, flush, fsync, rename),
 * directories, SHA-256 (OpenSSL) and CRC32C. */
#ifndef REGARD_BASE_FILE_H
#define REGARD_BASE_FILE_H

#include "src/base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* The whole file (-: standard input), NUL-terminated after *size bytes; the caller frees *data. */
status file_read(const char *path, char **data, size_t *size);
/* Bytes of a UTF-8 byte order mark at the start of a text: 3 or 0. */
size_t text_bom(const char *text, size_t size);
const char *file_read_name(const char *path); /* for messages: path, or "standard input" */
/* Writes path as a whole or not at all. */
status file_write(const char *path, const void *data, size_t size);
bool file_exists(const char *path);
bool directory_exists(const char *path);
status directory_create(const char *path); /* one level; existing is fine */
status directory_create_all(const char *path);
status directory_sync(const char *path);
status directory_remove(const char *path); /* with all it holds */
status file_copy(const char *from, const char *to);

/* A file that appears under its name only when file_commit succeeds; -: standard output. */
struct file_writer {
    FILE *stream;
    char path[1024], temporary[1088];
};
status file_begin(struct file_writer *writer, const char *path); /* the folder must exist */
status file_commit(struct file_writer *writer);
void file_abandon(struct file_writer *writer); /* no effect after commit */
/* For a signal's handler that ends the process: what is begun and neither committed nor abandoned
 * leaves nothing, of the first 16 files at least. */
void file_abandon_all(void);

/* A folder of files that appear only when folder_commit succeeds: at once where there was no such
 * folder, else file by file, over those of the same names. */
struct folder_writer {
    char path[1024], temporary[1088]; /* files are written into temporary */
    bool there;
};
status folder_begin(struct folder_writer *writer, const char *path); /* its parent must exist */
status folder_commit(struct folder_writer *writer);
void folder_abandon(struct folder_writer *writer); /* no effect after commit */

enum { SHA256_HEX = 65 };
struct sha256; /* incremental; a failure of OpenSSL is told by sha256_end */
struct sha256 *sha256_begin(void);
void sha256_add(struct sha256 *hash, const void *data, size_t size);
status sha256_end(struct sha256 *hash, char hex[SHA256_HEX]); /* frees hash */
status sha256_file(const char *path, char hex[SHA256_HEX]);

uint32_t crc32c(uint32_t seed, const void *data, size_t size); /* seed 0 to begin */
/* The same, as where the processor has no instruction for it. */
uint32_t crc32c_by_tables(uint32_t seed, const void *data, size_t size);

#endif
