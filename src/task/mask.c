/* See mask.h. */
#include "src/task/mask.h"

#include "src/base/memory.h"
#include "src/task/history_walk.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

enum { LINE_WIDTH = 100 };

/* What stands above a turn: the last history and the reply to it. */
struct printer {
    const struct history_options *options;
    enum dialogue_role role;
    int32_t *above;
    int64_t count;
    FILE *out;
};

static bool is_text(const char *text, size_t size)
{
    for (size_t at = 0; at < size;) {
        utf8proc_int32_t c;
        const utf8proc_ssize_t step = utf8proc_iterate((const utf8proc_uint8_t *)text + at,
                                                       (utf8proc_ssize_t)(size - at), &c);
        if (step <= 0) return false;
        at += (size_t)step;
    }
    return true;
}

/* "[piece]": control characters, and bytes that are no character by themselves, by their names. */
static void piece_write(struct text_buffer *line, const char *text, size_t size)
{
    const bool whole = is_text(text, size);
    text_append(line, "[", 1);
    for (size_t i = 0; i < size; i++) {
        const unsigned char c = (unsigned char)text[i];
        char name[8];
        if (c == '\n' || c == '\t' || c == '\r')
            snprintf(name, sizeof name, "\\%c", c == '\n' ? 'n' : c == '\t' ? 't' : 'r');
        else if (c < 0x20 || c == 0x7f || (c >= 0x80 && !whole))
            snprintf(name, sizeof name, "\\x%02x", c);
        else
            snprintf(name, sizeof name, "%c", c);
        text_append(line, name, strlen(name));
    }
    text_append(line, "]", 1);
}

static void line_end(struct printer *printer, struct text_buffer *line, bool learned)
{
    if (line->size) fprintf(printer->out, "# %c %s\n", learned ? '*' : ' ', line->data);
    line->size = 0;
}

/* The tokens as lines of pieces. */
static status tokens_print(struct printer *printer, const int32_t *ids, int64_t count, bool learned)
{
    const struct tokenizer *tokenizer = printer->options->tokenizer;
    const size_t n = (size_t)count + 1;
    int32_t *begin = memory_allocate(n * sizeof *begin), *end = memory_allocate(n * sizeof *end);
    struct text_buffer line = {0};
    char *all = NULL;
    size_t size;
    status s = tokenizer_decode_ranges(tokenizer, ids, count, &all, &size, begin, end);
    for (int64_t i = 0; !s && i < count; i++) {
        char *name = NULL;
        if (begin[i] == end[i]) s = tokenizer_decode(tokenizer, ids + i, 1, false, &name);
        if (s) break;
        const char *text = name ? name : all + begin[i];
        if (line.size > LINE_WIDTH) line_end(printer, &line, learned);
        piece_write(&line, text, name ? strlen(name) : (size_t)(end[i] - begin[i]));
        free(name);
    }
    if (!s) line_end(printer, &line, learned);
    free(line.data);
    free(all);
    free(begin);
    free(end);
    return s;
}

/* How many tokens of the history stand above already: all of those, or none. */
static int64_t tokens_above(const struct printer *printer, const struct encoded_history *history)
{
    const size_t size = (size_t)printer->count * sizeof *printer->above;
    const bool all = printer->count && printer->count <= history->count &&
                     !memcmp(printer->above, history->ids, size);
    return all ? printer->count : 0;
}

static status turn_print(struct printer *printer, const struct encoded_history *history,
                         const int32_t *reply, int64_t reply_count)
{
    const int64_t above = tokens_above(printer, history), count = history->count + reply_count;
    if (!above) fprintf(printer->out, "# turn %lld:\n", (long long)history->last_turn);
    if (history->dropped)
        fprintf(printer->out, "#   %lld tokens of earlier messages are cut (history.max_tokens)\n",
                (long long)history->dropped);
    if (history->slots)
        fprintf(printer->out, "#   %lld slots stand for them, first of all (history.summary)\n",
                (long long)history->slots);
    TRY(tokens_print(printer, history->ids + above, history->count - above, false));
    TRY(tokens_print(printer, reply, reply_count, true));
    printer->above = memory_resize(printer->above, (size_t)count * sizeof *printer->above);
    memcpy(printer->above, history->ids, (size_t)history->count * sizeof *history->ids);
    memcpy(printer->above + history->count, reply, (size_t)reply_count * sizeof *reply);
    printer->count = count;
    return NULL;
}

/* A message_visitor. */
static status message_print(void *context, const struct history *history,
                            const struct dialogue *dialogue, int64_t message)
{
    struct printer *printer = context;
    struct encoded_history encoded;
    int32_t *reply;
    int64_t count;
    bool fits;
    if (!history_turn(history) || message == dialogue->message_count ||
        dialogue->messages[message].role != printer->role)
        return NULL;
    TRY(history_fits(history, &fits));
    if (!fits) return NULL; /* left out of what is learned from */
    TRY(history_encode(history, &encoded));
    status s = reply_encode(printer->options, printer->role, dialogue->messages[message].content,
                            &reply, &count);
    if (!s) {
        s = turn_print(printer, &encoded, reply, count);
        free(reply);
    }
    encoded_history_free(&encoded);
    return s;
}

status mask_print(const struct history_options *options, const struct dataset *data,
                  enum dialogue_role role, FILE *out)
{
    struct printer printer = {.options = options, .role = role, .out = out};
    const struct dialogue *dialogue = &data->dialogues[0];
    if (options->chat)
        fprintf(out, "# chat format: %s\n", options->chat->name);
    else
        fprintf(out, "# chat format: none, each message has a marker before it\n");
    fprintf(out, "# the dialogue of line %lld; the loss is on the tokens in lines marked *:\n",
            (long long)dialogue->line);
    status s = history_walk(options, dialogue, message_print, &printer);
    free(printer.above);
    return s ? status_context(s, "%s", data->path) : NULL;
}
