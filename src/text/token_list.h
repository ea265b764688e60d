/* What tokenizers write into: lists of ids with the text they stand for, and texts that grow. */
#ifndef REGARD_TEXT_TOKEN_LIST_H
#define REGARD_TEXT_TOKEN_LIST_H

#include <stddef.h>
#include <stdint.h>

/* A growing list of ids with, for each, the byte range [begin, end) of the text it stands for. */
struct token_list {
    int32_t *ids;
    int32_t *begin, *end;
    int64_t count, capacity;
};
void token_list_add(struct token_list *list, int32_t id, int32_t begin, int32_t end);
void token_list_free(struct token_list *list);

/* A growing NUL-terminated text. */
struct text_buffer {
    char *data;
    size_t size, capacity;
};
void text_append(struct text_buffer *buffer, const char *text, size_t size);

#endif
