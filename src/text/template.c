/* Blocks of templates: text, {{ expressions }}, {% statements %}; see template.h. */
#include "src/text/template.h"

#include "src/base/memory.h"
#include "src/text/template_state.h"
#include "src/text/token_list.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

struct rendering {
    struct template_run run;
    struct template_blocks all;
    struct text_buffer out;
};

enum { BUDGET = 200000 };

/* The word that a statement begins with; *rest: behind it. */
static void statement_word(const struct template_block *block, char word[TEMPLATE_NAME],
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
static int64_t find_end(struct rendering *t, int64_t from, bool with_else)
{
    int depth = 0;
    for (int64_t i = from; i < t->all.count; i++) {
        char word[TEMPLATE_NAME];
        struct template_expression rest;
        if (t->all.list[i].kind != BLOCK_STATEMENT) continue;
        statement_word(&t->all.list[i], word, &rest);
        const bool opens = !strcmp(word, "if") || !strcmp(word, "for") || !strcmp(word, "macro");
        const bool ends =
            !strcmp(word, "endif") || !strcmp(word, "endfor") || !strcmp(word, "endmacro");
        if (depth == 0 && (ends || (with_else && (!strcmp(word, "else") || !strcmp(word, "elif")))))
            return i;
        depth += opens - ends;
    }
    template_fail(&t->run, "a block does not end");
    return t->all.count;
}

static json_t *rest_value(struct rendering *t, const struct template_expression *rest)
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
static void run_set(struct rendering *t, struct template_expression *rest)
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
    else if (*member && (json_is_object(value) || json_is_array(value)))
        template_fail(&t->run, "%s.%s is set to more than a text or a number", name, member);
    else if (value)
        json_object_set(to, *member ? member : name, value);
    else
        json_object_del(to, *member ? member : name);
}

static void run_blocks(struct rendering *t, int64_t from, int64_t to);

static json_t *loop_state(struct rendering *t, const json_t *items, size_t i)
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
static void run_for(struct rendering *t, struct template_expression *rest, int64_t from, int64_t to)
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
static int64_t run_statement(struct rendering *t, int64_t at)
{
    char word[TEMPLATE_NAME];
    struct template_expression rest;
    statement_word(&t->all.list[at], word, &rest);
    if (!strcmp(word, "set")) {
        run_set(t, &rest);
        return at + 1;
    }
    if (!strcmp(word, "generation") || !strcmp(word, "endgeneration")) return at + 1;
    if (!strcmp(word, "macro")) return find_end(t, at + 1, false) + 1;
    if (!strcmp(word, "for")) {
        const int64_t end = find_end(t, at + 1, true);
        run_for(t, &rest, at + 1, end);
        statement_word(&t->all.list[end < t->all.count ? end : at], word, &rest);
        if (!strcmp(word, "else")) template_fail(&t->run, "a loop with else");
        return end + 1;
    }
    if (strcmp(word, "if") != 0) {
        template_fail(&t->run, "a block {%% %s %%}, which is not known", word);
        return t->all.count;
    }
    for (bool done = false; !t->run.failed;) {
        const bool holds = !done && (!strcmp(word, "else") || template_true(rest_value(t, &rest)));
        const int64_t end = find_end(t, at + 1, true);
        if (t->run.failed) break;
        if (holds) run_blocks(t, at + 1, end);
        done = done || holds;
        at = end;
        statement_word(&t->all.list[at], word, &rest);
        if (!strcmp(word, "endif")) return at + 1;
    }
    return t->all.count;
}

static void run_blocks(struct rendering *t, int64_t from, int64_t to)
{
    const bool entered = template_enter(&t->run);
    for (int64_t at = from; entered && at < to && !t->run.failed;) {
        if (--t->run.budget < 0) template_fail(&t->run, "too much to do");
        const struct template_block *block = &t->all.list[at];
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
    struct rendering t = {.run = {.kept = json_array(), .budget = BUDGET}};
    size_t size = strlen(source);
    if (size && source[size - 1] == '\n') size--;
    text_append(&t.out, "", 0);
    t.run.scopes[t.run.scope_count++] = template_keep(&t.run, json_copy((json_t *)context));
    template_split(&t.run, source, size, &t.all);
    if (!t.run.failed) run_blocks(&t, 0, t.all.count);
    json_decref(t.run.kept);
    free(t.all.list);
    *out = t.out.data;
    if (t.run.failed) free(t.out.data);
    return t.run.failed;
}
