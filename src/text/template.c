/* Blocks of templates: text, {{ expressions }}, {% statements %}; see template.h. */
#include "src/text/template.h"

#include "src/base/memory.h"
#include "src/text/template_state.h"
#include "src/text/token_list.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum block_kind { BLOCK_TEXT, BLOCK_EXPRESSION, BLOCK_STATEMENT };

/* A piece of the source; of an expression or statement what is between its marks. */
struct block {
    enum block_kind kind;
    const char *text;
    size_t size;
};

struct template
{
    struct template_run run;
    struct block *blocks;
    int64_t count, capacity;
    struct text_buffer out;
};

enum { BUDGET = 200000 };

static struct block *add_block(struct template *t, enum block_kind kind, const char *text,
                               size_t size)
{
    if (t->count == t->capacity) {
        t->capacity = 2 * t->capacity + 64;
        t->blocks = memory_resize(t->blocks, (size_t)t->capacity * sizeof *t->blocks);
    }
    t->blocks[t->count] = (struct block){kind, text, size};
    return &t->blocks[t->count++];
}

/* Takes white space off the end of a text: all of it, or where `line` the blanks that stand alone
 * on their line so far. */
static void strip_end(const char *source, struct block *text, bool line)
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

static void split(struct template *t, const char *source, size_t size)
{
    const char *at = source, *end = source + size;
    while (at < end) {
        const char *open = at;
        while ((open = memchr(open, '{', (size_t)(end - open))) && !strchr("{%#", open[1])) open++;
        struct block *text = add_block(t, BLOCK_TEXT, at, (size_t)((open ? open : end) - at));
        if (!open) return;
        const char kind = open[1];
        const char *inner = open + 2;
        const char *close = tag_end(inner,
                                    kind == '{'   ? "}}"
                                    : kind == '%' ? "%}"
                                                  : "#}",
                                    kind != '#');
        if (!close || close >= end) {
            template_fail(&t->run, "a tag does not end");
            return;
        }
        const bool minus = *inner == '-';
        if (minus || *inner != '+') {
            if (minus || kind != '{') strip_end(source, text, !minus);
        }
        if (*inner == '-' || *inner == '+') inner++;
        const bool strips = close > inner && close[-1] == '-';
        if (kind != '#')
            add_block(t, kind == '{' ? BLOCK_EXPRESSION : BLOCK_STATEMENT, inner,
                      (size_t)(close - strips - inner));
        at = close + 2;
        if (strips)
            while (at < end && isspace((unsigned char)*at)) at++;
        else if (kind != '{' && at < end && *at == '\n')
            at++;
    }
}

/* The word that a statement begins with; *rest: behind it. */
static void statement_word(const struct block *block, char word[TEMPLATE_NAME],
                           struct template_expression *rest)
{
    const char *at = block->text, *end = block->text + block->size;
    while (at < end && isspace((unsigned char)*at)) at++;
    size_t n = 0;
    while (at < end && (isalnum((unsigned char)*at) || *at == '_') && n + 1 < TEMPLATE_NAME)
        word[n++] = *at++;
    word[n] = 0;
    rest->at = at;
    rest->end = end;
}

/* The next block at this depth that ends the one which opened, or an else or elif of it. */
static int64_t find_end(struct template *t, int64_t from, bool with_else)
{
    int depth = 0;
    for (int64_t i = from; i < t->count; i++) {
        char word[TEMPLATE_NAME];
        struct template_expression rest;
        if (t->blocks[i].kind != BLOCK_STATEMENT) continue;
        statement_word(&t->blocks[i], word, &rest);
        const bool opens = !strcmp(word, "if") || !strcmp(word, "for") || !strcmp(word, "macro");
        const bool ends =
            !strcmp(word, "endif") || !strcmp(word, "endfor") || !strcmp(word, "endmacro");
        if (depth == 0 && (ends || (with_else && (!strcmp(word, "else") || !strcmp(word, "elif")))))
            return i;
        depth += opens - ends;
    }
    template_fail(&t->run, "a block does not end");
    return t->count;
}

static json_t *rest_value(struct template *t, const struct template_expression *rest)
{
    return template_evaluate(&t->run, rest->at, (size_t)(rest->end - rest->at));
}

static bool read_word(struct template_expression *e, char name[TEMPLATE_NAME])
{
    size_t n = 0;
    while (e->at < e->end && isspace((unsigned char)*e->at)) e->at++;
    while (e->at < e->end && (isalnum((unsigned char)*e->at) || *e->at == '_') &&
           n + 1 < TEMPLATE_NAME)
        name[n++] = *e->at++;
    name[n] = 0;
    while (e->at < e->end && isspace((unsigned char)*e->at)) e->at++;
    return n > 0;
}

static bool read_mark(struct template_expression *e, char mark)
{
    if (e->at >= e->end || *e->at != mark) return false;
    e->at++;
    return true;
}

/* set NAME = VALUE, set NAMESPACE.NAME = VALUE */
static void run_set(struct template *t, struct template_expression *rest)
{
    char name[TEMPLATE_NAME], member[TEMPLATE_NAME] = "";
    bool read = read_word(rest, name);
    if (read && read_mark(rest, '.')) read = read_word(rest, member);
    if (!read || !read_mark(rest, '=')) {
        template_fail(&t->run, "a set that is not known");
        return;
    }
    json_t *to = *member ? template_variable(&t->run, name) : t->run.scopes[t->run.scope_count - 1];
    json_t *value = rest_value(t, rest);
    if (!json_is_object(to))
        template_fail(&t->run, "%s is no namespace", name);
    else if (value)
        json_object_set(to, *member ? member : name, value);
    else
        json_object_del(to, *member ? member : name);
}

static void run_blocks(struct template *t, int64_t from, int64_t to);

static json_t *loop_state(struct template *t, const json_t *items, size_t i)
{
    const size_t n = json_array_size(items);
    json_t *loop =
        json_pack("{s:I, s:I, s:I, s:I, s:I, s:b, s:b}", "index", (json_int_t)i + 1, "index0",
                  (json_int_t)i, "length", (json_int_t)n, "revindex", (json_int_t)(n - i),
                  "revindex0", (json_int_t)(n - i - 1), "first", i == 0, "last", i + 1 == n);
    if (i > 0) json_object_set(loop, "previtem", json_array_get(items, i - 1));
    if (i + 1 < n) json_object_set(loop, "nextitem", json_array_get(items, i + 1));
    return template_keep(&t->run, loop);
}

/* for NAME[, NAME] in VALUE: the blocks [from, to). */
static void run_for(struct template *t, struct template_expression *rest, int64_t from, int64_t to)
{
    struct template_run *run = &t->run;
    char name[TEMPLATE_NAME], second[TEMPLATE_NAME] = "", in[TEMPLATE_NAME];
    bool read = read_word(rest, name);
    if (read && read_mark(rest, ',')) read = read_word(rest, second);
    if (!read || !read_word(rest, in) || strcmp(in, "in") != 0 ||
        run->scope_count == TEMPLATE_SCOPES) {
        template_fail(run, "a loop that is not known");
        return;
    }
    json_t *items = rest_value(t, rest);
    if (!json_is_array(items)) template_fail(run, "a loop over what is no list");
    for (size_t i = 0; !run->failed && i < json_array_size(items); i++) {
        json_t *item = json_array_get(items, i), *scope = template_keep(run, json_object());
        if (*second && json_array_size(item) != 2) template_fail(run, "a loop over no pairs");
        json_object_set(scope, name, *second ? json_array_get(item, 0) : item);
        if (*second) json_object_set(scope, second, json_array_get(item, 1));
        json_object_set(scope, "loop", loop_state(t, items, i));
        run->scopes[run->scope_count++] = scope;
        run_blocks(t, from, to);
        run->scope_count--;
    }
}

/* The statement at `at`; returns the block behind it and all that belongs to it. */
static int64_t run_statement(struct template *t, int64_t at)
{
    char word[TEMPLATE_NAME];
    struct template_expression rest;
    statement_word(&t->blocks[at], word, &rest);
    if (!strcmp(word, "set")) {
        run_set(t, &rest);
        return at + 1;
    }
    if (!strcmp(word, "generation") || !strcmp(word, "endgeneration")) return at + 1;
    if (!strcmp(word, "macro")) return find_end(t, at + 1, false) + 1;
    if (!strcmp(word, "for")) {
        const int64_t end = find_end(t, at + 1, true);
        run_for(t, &rest, at + 1, end);
        statement_word(&t->blocks[end < t->count ? end : at], word, &rest);
        if (!strcmp(word, "else")) template_fail(&t->run, "a loop with else");
        return end + 1;
    }
    if (strcmp(word, "if") != 0) {
        template_fail(&t->run, "a block {%% %s %%}, which is not known", word);
        return t->count;
    }
    for (bool done = false; !t->run.failed;) {
        const bool holds = !done && (!strcmp(word, "else") || template_true(rest_value(t, &rest)));
        const int64_t end = find_end(t, at + 1, true);
        if (t->run.failed) break;
        if (holds) run_blocks(t, at + 1, end);
        done = done || holds;
        at = end;
        statement_word(&t->blocks[at], word, &rest);
        if (!strcmp(word, "endif")) return at + 1;
    }
    return t->count;
}

static void run_blocks(struct template *t, int64_t from, int64_t to)
{
    const bool entered = template_enter(&t->run);
    for (int64_t at = from; entered && at < to && !t->run.failed;) {
        if (--t->run.budget < 0) template_fail(&t->run, "too much to do");
        const struct block *block = &t->blocks[at];
        if (block->kind == BLOCK_STATEMENT) {
            at = run_statement(t, at);
            continue;
        }
        if (block->kind == BLOCK_TEXT) {
            text_append(&t->out, block->text, block->size);
        } else {
            const char *text =
                template_string(&t->run, template_evaluate(&t->run, block->text, block->size));
            if (text) text_append(&t->out, text, strlen(text));
        }
        at++;
    }
    template_leave(&t->run);
}

status template_render(const char *source, const json_t *context, char **out)
{
    struct template t = {.run = {.kept = json_array(), .budget = BUDGET}};
    size_t size = strlen(source);
    if (size && source[size - 1] == '\n') size--;
    text_append(&t.out, "", 0);
    t.run.scopes[t.run.scope_count++] = template_keep(&t.run, json_copy((json_t *)context));
    split(&t, source, size);
    if (!t.run.failed) run_blocks(&t, 0, t.count);
    json_decref(t.run.kept);
    free(t.blocks);
    *out = t.out.data;
    if (t.run.failed) free(t.out.data);
    return t.run.failed;
}
