/* The byte tokenizer: a token is a byte of UTF-8 plus 3; pad 0, end 1, unknown 2, extra ids from
 * 259 up. */
#include "src/base/memory.h"
#include "src/text/tokenizer_data.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

void bytes_encode(const char *text, size_t size, int32_t offset, struct token_list *out)
{
    for (size_t i = 0; i < size; i++)
        token_list_add(out, (unsigned char)text[i] + BYTES_OFFSET, offset + (int32_t)i,
                       offset + (int32_t)i + 1);
}

/* Bytes that are no UTF-8 are left out, as Python's errors="ignore" does. */
static void append_valid(struct text_buffer *to, const struct text_buffer *from)
{
    size_t at = 0;
    while (at < from->size) {
        utf8proc_int32_t c;
        const utf8proc_ssize_t step = utf8proc_iterate((const utf8proc_uint8_t *)from->data + at,
                                                       (utf8proc_ssize_t)(from->size - at), &c);
        if (step > 0) text_append(to, from->data + at, (size_t)step);
        at += step > 0 ? (size_t)step : 1;
    }
}

/* A run of bytes joins what was said so far with a space when `joined` says so. */
static void flush_run(struct text_buffer *out, struct text_buffer *run, bool *joined)
{
    struct text_buffer valid = {0};
    append_valid(&valid, run);
    run->size = 0;
    if (valid.size > 0) {
        if (*joined) text_append(out, " ", 1);
        text_append(out, valid.data, valid.size);
        *joined = true;
    }
    free(valid.data);
}

void bytes_decode(const struct tokenizer *tokenizer, const int32_t *ids, int64_t count,
                  bool skip_special, struct text_buffer *out)
{
    struct text_buffer run = {0};
    bool joined = false;
    for (int64_t i = 0; i < count; i++) {
        char scratch[32];
        const char *name = special_text(tokenizer, ids[i], scratch);
        if (name) {
            if (skip_special && special_is_skipped(tokenizer, ids[i])) continue;
            if (!special_stands_apart(tokenizer, ids[i])) {
                text_append(&run, name, strlen(name));
                continue;
            }
            flush_run(out, &run, &joined);
            if (joined) text_append(out, " ", 1);
            text_append(out, name, strlen(name));
            joined = true;
        } else if (ids[i] >= BYTES_OFFSET && ids[i] < BYTES_PIECES) {
            const char byte = (char)(ids[i] - BYTES_OFFSET);
            text_append(&run, &byte, 1);
        }
    }
    flush_run(out, &run, &joined);
    free(run.data);
}
