/* See memory.h. */
#include "src/base/memory.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

static memory_handler *handler; /* set once, by main, before there are threads */

void memory_on_exhausted(memory_handler *installed)
{
    handler = installed;
}

_Noreturn void memory_exhausted_at(size_t size, const char *file, int line)
{
    char text[256];
    const char *slash = strrchr(file, '/');
    snprintf(text, sizeof text, "out of memory: %zu bytes asked for at %s:%d", size,
             slash ? slash + 1 : file, line);
    if (handler) handler(text);
    abort();
}

void *memory_allocate_at(size_t size, const char *file, int line)
{
    void *memory = calloc(1, size ? size : 1);
    if (!memory) memory_exhausted_at(size, file, line);
    return memory;
}

void *memory_resize_at(void *memory, size_t size, const char *file, int line)
{
    void *resized = realloc(memory, size ? size : 1);
    if (!resized) memory_exhausted_at(size, file, line);
    return resized;
}

char *memory_text_at(const char *text, const char *file, int line)
{
    const size_t size = strlen(text) + 1;
    return memcpy(memory_allocate_at(size, file, line), text, size);
}

FILE *memory_stream_at(char **text, size_t *size, const char *file, int line)
{
    FILE *stream = open_memstream(text, size);
    if (!stream) memory_exhausted_at(BUFSIZ, file, line);
    return stream;
}

void memory_stream_flush_at(FILE *stream, const char *file, int line)
{
    if (fflush(stream) || ferror(stream)) memory_exhausted_at(BUFSIZ, file, line);
}

void memory_stream_close_at(FILE *stream, const char *file, int line)
{
    memory_stream_flush_at(stream, file, line);
    fclose(stream);
}

void *memory_pages_at(size_t size, const char *file, int line)
{
    void *memory =
        mmap(NULL, size ? size : 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) memory_exhausted_at(size, file, line);
    return memory;
}

void memory_pages_release(void *memory, size_t size)
{
    if (memory) munmap(memory, size ? size : 1);
}

int64_t memory_peak(void)
{
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) ? 0 : (int64_t)usage.ru_maxrss * 1024;
}
