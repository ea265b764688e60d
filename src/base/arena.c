/* Blocks from which a step's memory is cut; reset makes them reusable and frees nothing. */
#include "src/base/arena.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ARENA_ALIGNMENT = 64, ARENA_BLOCK = 1 << 16 };

struct arena_block {
    struct arena_block *next;
    char *memory;
    size_t size, used;
};

struct arena {
    struct arena_block *first, *current;
};

_Noreturn static void memory_out(size_t size)
{
    fprintf(stderr, "regard: out of memory (%zu bytes asked for)\n", size);
    exit(70);
}

void *memory_allocate(size_t size)
{
    void *memory = calloc(1, size ? size : 1);
    if (!memory) memory_out(size);
    return memory;
}

void *memory_resize(void *memory, size_t size)
{
    void *resized = realloc(memory, size ? size : 1);
    if (!resized) memory_out(size);
    return resized;
}

char *memory_text(const char *text)
{
    size_t size = strlen(text) + 1;
    return memcpy(memory_allocate(size), text, size);
}

struct arena *arena_create(void)
{
    return memory_allocate(sizeof(struct arena));
}

static struct arena_block *block_create(size_t size)
{
    struct arena_block *block = memory_allocate(sizeof *block);
    block->memory = aligned_alloc(ARENA_ALIGNMENT, size);
    if (!block->memory) memory_out(size);
    block->size = size;
    return block;
}

void *arena_allocate(struct arena *arena, size_t size)
{
    if (size > SIZE_MAX / 2) memory_out(size);
    size_t rounded = (size + ARENA_ALIGNMENT - 1) / ARENA_ALIGNMENT * ARENA_ALIGNMENT;
    if (!rounded) rounded = ARENA_ALIGNMENT;
    /* Later blocks are unused: a block that is too small is passed over until the reset. */
    struct arena_block *block = arena->current;
    while (block && block->size - block->used < rounded) {
        if (!block->next) break;
        block = block->next;
    }
    if (!block || block->size - block->used < rounded) {
        size_t wanted = block ? 2 * block->size : ARENA_BLOCK;
        if (wanted > (size_t)1 << 28) wanted = (size_t)1 << 28;
        struct arena_block *created = block_create(wanted < rounded ? rounded : wanted);
        if (block)
            block->next = created;
        else
            arena->first = created;
        block = created;
    }
    arena->current = block;
    void *memory = block->memory + block->used;
    block->used += rounded;
    return memset(memory, 0, rounded);
}

char *arena_text(struct arena *arena, const char *format, ...)
{
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    size_t size = length < 0 ? 1 : (size_t)length + 1;
    char *text = arena_allocate(arena, size);
    vsnprintf(text, size, format, again);
    va_end(again);
    return text;
}

void arena_reset(struct arena *arena)
{
    for (struct arena_block *block = arena->first; block; block = block->next) block->used = 0;
    arena->current = arena->first;
}

void arena_destroy(struct arena *arena)
{
    if (!arena) return;
    for (struct arena_block *block = arena->first; block;) {
        struct arena_block *next = block->next;
        free(block->memory);
        free(block);
        block = next;
    }
    free(arena);
}
