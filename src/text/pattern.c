/* See pattern.h. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "src/text/pattern.h"

#include "src/base/memory.h"
#include "src/text/unicode.h"

#include <pcre2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { JIT_STACK_MIN = 32 * 1024, JIT_STACK_MAX = 1024 * 1024 };

struct pattern {
    pcre2_code *code;
    pcre2_match_data *match;
    pcre2_match_context *context;
    pcre2_jit_stack *stack;
};

static void append(struct text_buffer *out, const char *text)
{
    text_append(out, text, strlen(text));
}

static void append_ranges(struct text_buffer *out, const struct character_range *ranges,
                          size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char range[40];
        snprintf(range, sizeof range, "\\x{%X}-\\x{%X}", (unsigned)ranges[i].first,
                 (unsigned)ranges[i].last);
        append(out, range);
    }
}

static const char space[] = "\\x{9}-\\x{D}\\x{20}\\x{85}\\x{A0}\\x{1680}\\x{2000}-\\x{200A}"
                            "\\x{2028}\\x{2029}\\x{202F}\\x{205F}\\x{3000}";
static const char no_space[] = "\\x{0}-\\x{8}\\x{E}-\\x{1F}\\x{21}-\\x{84}\\x{86}-\\x{9F}"
                               "\\x{A1}-\\x{167F}\\x{1681}-\\x{1FFF}\\x{200B}-\\x{2027}"
                               "\\x{202A}-\\x{202E}\\x{2030}-\\x{205E}\\x{2060}-\\x{2FFF}"
                               "\\x{3001}-\\x{10FFFF}";

/* The members of the escape at `at` ("\s", "\p{L}"), in brackets where it stands in none; its
 * length, or 0 when it means the same to PCRE2. */
static size_t rewrite_escape(const char *at, bool in_class, struct text_buffer *out)
{
    const char *members = NULL, *property = NULL;
    size_t length = 2;
    bool negated = false;
    if (at[1] == 's') members = space;
    if (at[1] == 'S') members = no_space;
    if (!strncmp(at + 1, "p{L}", 4)) property = "\\p{L}";
    if (!strncmp(at + 1, "p{N}", 4)) property = "\\p{N}";
    if (!in_class && !strncmp(at + 1, "P{L}", 4)) property = "\\p{L}", negated = true;
    if (!in_class && !strncmp(at + 1, "P{N}", 4)) property = "\\p{N}", negated = true;
    if (!members && !property) return 0;
    if (!in_class) append(out, negated ? "[^" : "[");
    if (members) append(out, members);
    if (property) {
        const bool letter = property[3] == 'L';
        length = 5;
        append(out, property);
        append_ranges(out, letter ? unicode_new_letters : unicode_new_numbers,
                      letter ? unicode_new_letter_count : unicode_new_number_count);
    }
    if (!in_class) append(out, "]");
    return length;
}

static status rewrite(const char *text, const char *where, struct text_buffer *out)
{
    bool in_class = false;
    text_append(out, "", 0);
    for (const char *at = text; *at;) {
        if (*at == '\\' && at[1]) {
            if (strchr("hHRXKyYO", at[1]))
                FAIL(STATUS_INPUT, "%s: \\%c in the pattern %s is not supported", where, at[1],
                     text);
            const size_t taken = rewrite_escape(at, in_class, out);
            if (!taken) text_append(out, at, 2);
            at += taken ? taken : 2;
            continue;
        }
        const char *named = in_class && at[0] == '[' && at[1] == ':' ? strstr(at, ":]") : NULL;
        if (named) { /* [:alpha:] */
            text_append(out, at, (size_t)(named + 2 - at));
            at = named + 2;
            continue;
        }
        if (in_class && (at[0] == '[' || !strncmp(at, "&&", 2)))
            FAIL(STATUS_INPUT, "%s: a class within a class in the pattern %s is not supported",
                 where, text);
        const bool opens = !in_class && *at == '[';
        const bool closes = in_class && *at == ']';
        in_class = opens || (in_class && !closes);
        text_append(out, at++, 1);
        if (opens && *at == '^') text_append(out, at++, 1);
        if (opens && *at == ']') text_append(out, at++, 1); /* stands for itself */
    }
    return NULL;
}

status pattern_compile(const char *text, bool literal, const char *where, struct pattern **out)
{
    struct text_buffer rewritten = {0};
    status s = NULL;
    if (literal)
        append(&rewritten, text);
    else
        s = rewrite(text, where, &rewritten);
    if (s) {
        free(rewritten.data);
        return s;
    }
    int error;
    PCRE2_SIZE offset;
    pcre2_compile_context *options = pcre2_compile_context_create(NULL);
    if (!options) memory_exhausted(sizeof(void *));
    pcre2_set_newline(options, PCRE2_NEWLINE_LF);
    /* In Oniguruma ^ and $ are of lines. */
    const uint32_t flags = literal
                               ? PCRE2_LITERAL | PCRE2_UTF
                               : PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C;
    pcre2_code *code =
        pcre2_compile((PCRE2_SPTR)rewritten.data, rewritten.size, flags, &error, &offset, options);
    pcre2_compile_context_free(options);
    free(rewritten.data);
    if (!code) {
        PCRE2_UCHAR message[128];
        pcre2_get_error_message(error, message, sizeof message);
        FAIL(STATUS_INPUT, "%s: PCRE2 cannot read the pattern %s (%s)", where, text,
             (const char *)message);
    }
    struct pattern *pattern = memory_allocate(sizeof *pattern);
    *out = pattern;
    pattern->code = code;
    pattern->match = pcre2_match_data_create_from_pattern(code, NULL);
    pattern->context = pcre2_match_context_create(NULL);
    if (!pattern->match || !pattern->context) memory_exhausted(sizeof(void *));
    /* Where the system has no just-in-time compiler the same matches are found, slower. */
    if (pcre2_jit_compile(code, PCRE2_JIT_COMPLETE) == 0) {
        pattern->stack = pcre2_jit_stack_create(JIT_STACK_MIN, JIT_STACK_MAX, NULL);
        pcre2_jit_stack_assign(pattern->context, NULL, pattern->stack);
    }
    return NULL;
}

void pattern_free(struct pattern *pattern)
{
    if (!pattern) return;
    pcre2_code_free(pattern->code);
    pcre2_match_data_free(pattern->match);
    pcre2_match_context_free(pattern->context);
    pcre2_jit_stack_free(pattern->stack);
    free(pattern);
}

void pattern_begin(struct pattern_search *search, struct pattern *pattern, const char *text,
                   size_t size)
{
    *search = (struct pattern_search){.pattern = pattern, .text = text, .size = size};
}

status pattern_next(struct pattern_search *search, size_t *begin, size_t *end, bool *found)
{
    const struct pattern *pattern = search->pattern;
    *found = false;
    while (search->at <= search->size) {
        const int count =
            pcre2_match(pattern->code, (PCRE2_SPTR)search->text, search->size, search->at,
                        PCRE2_NO_UTF_CHECK, pattern->match, pattern->context);
        if (count == PCRE2_ERROR_NOMATCH) return NULL;
        if (count < 0) {
            PCRE2_UCHAR message[128];
            pcre2_get_error_message(count, message, sizeof message);
            FAIL(STATUS_INPUT, "the tokenizer's pattern fails on a text of %zu bytes: %s",
                 search->size, (const char *)message);
        }
        const PCRE2_SIZE *range = pcre2_get_ovector_pointer(pattern->match);
        *begin = range[0];
        *end = range[1];
        if (*end > *begin || !search->any || search->last_end != *end) {
            search->at = search->last_end = *end;
            search->any = true;
            *found = true;
            return NULL;
        }
        size_t step = 1;
        if (search->at < search->size)
            character_at(search->text + search->at, search->size - search->at, &step);
        search->at += step;
    }
    return NULL;
}
