/* Growing lists of tokens and growing texts; see token_list.h. */
#include "src/text/token_list.h"

#include "src/base/memory.h"

#include <stdlib.h>
#include <string.h>

void token_list_add(struct token_list *list, int32_t id, int32_t begin, int32_t end)
{
    if (list->count == list->capacity) {
        list->capacity = 2 * list->capacity + 64;
        const size_t size = (size_t)list->capacity * sizeof(int32_t);
        list->ids = memory_resize(list->ids, size);
        list->begin = memory_resize(list->begin, size);
        list->end = memory_resize(list->end, size);
    }
    list->ids[list->count] = id;
    list->begin[list->count] = begin;
    list->end[list->count++] = end;
}

void token_list_free(struct token_list *list)
{
    free(list->ids);
    free(list->begin);
    free(list->end);
    memset(list, 0, sizeof *list);
}

void text_append(struct text_buffer *buffer, const char *text, size_t size)
{
    if (buffer->size + size + 1 > buffer->capacity) {
        buffer->capacity = 2 * (buffer->size + size) + 64;
        buffer->data = memory_resize(buffer->data, buffer->capacity);
    }
    if (size > 0) memcpy(buffer->data + buffer->size, text, size);
    buffer->size += size;
    buffer->data[buffer->size] = 0;
}
