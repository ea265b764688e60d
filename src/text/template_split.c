/* A template's source in blocks; see template.h. */
#include "src/base/memory.h"
#include "src/text/template_state.h"

#include <ctype.h>
#include <string.h>

static struct template_block *add_block(struct template_blocks *all, enum block_kind kind,
                                        const char *text, size_t size)
{
    if (all->count == all->capacity) {
        all->capacity = 2 * all->capacity + 64;
        all->list = memory_resize(all->list, (size_t)all->capacity * sizeof *all->list);
    }
    all->list[all->count] = (struct template_block){kind, text, size};
    return &all->list[all->count++];
}

/* Takes white space off the end of a text: all of it, or where `line` the blanks that stand alone
 * on their line so far. */
static void strip_end(const char *source, struct template_block *text, bool line)
{
    size_t size = text->size;
    while (size && (line ? text->text[size - 1] == ' ' || text->text[size - 1] == '\t'
                         : isspace((unsigned char)text->text[size - 1])))
        size--;
    const char *at = text->text + size;
    if (!line || at == source || at[-1] == '\n') text->size = size;
}

/* Where a tag that begins behind `at` ends: at its closing mark, quotes minded. */
static const char *tag_end(const char *at, const char *close, bool quotes)
{
    for (char quote = 0; *at; at++) {
        if (quote) {
            if (*at == '\\' && at[1])
                at++;
            else if (*at == quote)
                quote = 0;
        } else if (quotes && (*at == '\'' || *at == '"')) {
            quote = *at;
        } else if (!strncmp(at, close, 2)) {
            return at;
        }
    }
    return NULL;
}

void template_split(struct template_run *run, const char *source, size_t size,
                    struct template_blocks *out)
{
    const char *at = source, *end = source + size;
    while (at < end) {
        const char *open = at;
        while ((open = memchr(open, '{', (size_t)(end - open))) &&
               !(open + 1 < end && memchr("{%#", open[1], 3)))
            open++;
        struct template_block *text =
            add_block(out, BLOCK_TEXT, at, (size_t)((open ? open : end) - at));
        if (!open) return;
        const char kind = open[1];
        const char *inner = open + 2;
        const char *close = tag_end(inner,
                                    kind == '{'   ? "}}"
                                    : kind == '%' ? "%}"
                                                  : "#}",
                                    kind != '#');
        if (!close || close >= end) {
            template_fail(run, "a tag does not end");
            return;
        }
        const bool minus = *inner == '-';
        if (minus || *inner != '+') {
            if (minus || kind != '{') strip_end(source, text, !minus);
        }
        if (*inner == '-' || *inner == '+') inner++;
        const bool strips = close > inner && close[-1] == '-';
        if (kind != '#')
            add_block(out, kind == '{' ? BLOCK_EXPRESSION : BLOCK_STATEMENT, inner,
                      (size_t)(close - strips - inner));
        at = close + 2;
        if (strips)
            while (at < end && isspace((unsigned char)*at)) at++;
        else if (kind != '{' && at < end && *at == '\n')
            at++;
    }
}
