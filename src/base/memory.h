/* Memory of the host, and the one law for when it runs out.
 *
 * memory_allocate, memory_resize, memory_text and memory_stream never return NULL.  When the system
 * has no more to give, they make one line that says how much was asked for and where, and hand it
 * to the handler that main installed; it prints the line and ends the process (under MPI, the whole
 * job) with status 70.  No other function in src, kernels or mpi ends a process.  Nothing is lost
 * by it but the time since the last checkpoint, since files appear whole or not at all (file.h).
 *
 * Memory of a queue, whose size follows from the settings and which may be a GPU's, is another
 * matter, and so are the records that kernels/ keeps of it: kernels/ops.h's allocate returns a
 * status that says what it was for and what to lower. */
#ifndef REGARD_BASE_MEMORY_H
#define REGARD_BASE_MEMORY_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Zeroed; free() gives it back. */
#define memory_allocate(size) memory_allocate_at((size), __FILE__, __LINE__)
/* realloc: what is new is not zeroed. */
#define memory_resize(memory, size) memory_resize_at((memory), (size), __FILE__, __LINE__)
/* A copy of a text. */
#define memory_text(text) memory_text_at((text), __FILE__, __LINE__)
/* A stream into memory: *text and *size are there after memory_stream_flush and
 * memory_stream_close, which hold all that was printed; the caller frees *text. */
#define memory_stream(text, size) memory_stream_at((text), (size), __FILE__, __LINE__)
#define memory_stream_flush(stream) memory_stream_flush_at((stream), __FILE__, __LINE__)
#define memory_stream_close(stream) memory_stream_close_at((stream), __FILE__, __LINE__)
/* For memory that a library of others could not take. */
#define memory_exhausted(size) memory_exhausted_at((size), __FILE__, __LINE__)

/* The handler gets one line without newline and must not return.  It may be called on any thread.
 * A program that installs none is ended by abort(). */
typedef void memory_handler(const char *message);
void memory_on_exhausted(memory_handler *handler);

void *memory_allocate_at(size_t size, const char *file, int line);
void *memory_resize_at(void *memory, size_t size, const char *file, int line);
char *memory_text_at(const char *text, const char *file, int line);
FILE *memory_stream_at(char **text, size_t *size, const char *file, int line);
void memory_stream_flush_at(FILE *stream, const char *file, int line);
void memory_stream_close_at(FILE *stream, const char *file, int line);
_Noreturn void memory_exhausted_at(size_t size, const char *file, int line);

/* Pages of their own for something large: zeroed by nobody but the system, and the system's again
 * once they are released, with the size that was asked for.  NULL is released as nothing. */
#define memory_pages(size) memory_pages_at((size), __FILE__, __LINE__)
void memory_pages_release(void *memory, size_t size);
void *memory_pages_at(size_t size, const char *file, int line);

/* The most bytes of memory that this process has held at once so far (its peak resident set). */
int64_t memory_peak(void);

#endif
