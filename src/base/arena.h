/* Memory that lives as long as a step: many allocations, one release. */
#ifndef REGARD_BASE_ARENA_H
#define REGARD_BASE_ARENA_H

#include <stddef.h>

struct arena;

struct arena *arena_create(void);
/* Zeroed, aligned to 64 bytes; ends the process with a message when memory is out. */
void *arena_allocate(struct arena *arena, size_t size);
char *arena_text(struct arena *arena, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void arena_reset(struct arena *arena); /* keeps the blocks */
void arena_destroy(struct arena *arena);
/* malloc that ends the process with a message when memory is out; free() gives it back. */
void *memory_allocate(size_t size); /* zeroed */
void *memory_resize(void *memory, size_t size);
char *memory_text(const char *text); /* strdup */

#endif
