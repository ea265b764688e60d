/* Expressions of templates, read and evaluated in one go by recursive descent; see template.h.
 * Where a part may be left out (behind `and`, `or`, around `if`), it is read dry. */
#include "src/base/memory.h"
#include "src/text/template_state.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static void skip_space(struct template_expression *e)
{
    while (e->at < e->end && isspace((unsigned char)*e->at)) e->at++;
}

static json_t *fail(struct template_expression *e, const char *what)
{
    return e->dry ? NULL : template_fail(e->run, "%s", what);
}

/* A mark, where it is next. */
static bool mark(struct template_expression *e, const char *text)
{
    const size_t n = strlen(text);
    skip_space(e);
    if ((size_t)(e->end - e->at) < n || strncmp(e->at, text, n) != 0) return false;
    e->at += n;
    return true;
}

static bool name_char(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

static bool name(struct template_expression *e, char out[TEMPLATE_NAME])
{
    size_t n = 0;
    skip_space(e);
    if (e->at < e->end && isdigit((unsigned char)*e->at)) return false;
    while (e->at < e->end && name_char(*e->at) && n + 1 < TEMPLATE_NAME) out[n++] = *e->at++;
    out[n] = 0;
    return n > 0;
}

static bool word(struct template_expression *e, const char *text)
{
    const char *before = e->at;
    char found[TEMPLATE_NAME];
    if (name(e, found) && !strcmp(found, text)) return true;
    e->at = before;
    return false;
}

/* The value of what stands here, up to what is no part of it. */
static json_t *template_read(struct template_expression *e);

/* "...", '...', one or several in a row. */
static json_t *string(struct template_expression *e)
{
    char *text = memory_allocate((size_t)(e->end - e->at) + 1);
    size_t n = 0;
    for (; skip_space(e), e->at < e->end && (*e->at == '"' || *e->at == '\'');) {
        const char quote = *e->at++;
        while (e->at < e->end && *e->at != quote) {
            char c = *e->at++;
            if (c == '\\' && e->at < e->end) {
                c = *e->at++;
                if (!strchr("ntr\\'\"", c)) fail(e, "a character that is escaped");
                c = (char)(c == 'n' ? '\n' : c == 't' ? '\t' : c == 'r' ? '\r' : c);
            }
            text[n++] = c;
        }
        if (e->at < e->end) e->at++;
    }
    json_t *made = template_text(e->run, text, n);
    free(text);
    return made;
}

/* The rest of a call, behind its opening bracket. */
static void arguments(struct template_expression *e, struct template_call *call)
{
    while (!e->run->failed && !mark(e, ")")) {
        if (call->count == TEMPLATE_ARGUMENTS) {
            template_fail(e->run, "a call with many arguments");
            return;
        }
        const char *before = e->at;
        char key[TEMPLATE_NAME];
        if (!name(e, key) || !mark(e, "=") || mark(e, "=")) {
            e->at = before;
            *key = 0;
        }
        memcpy(call->keys[call->count], key, sizeof key);
        call->values[call->count++] = template_read(e);
        if (!mark(e, ",") && (skip_space(e), e->at >= e->end || *e->at != ')')) {
            template_fail(e->run, "a call that does not end");
            return;
        }
    }
}

static json_t *list(struct template_expression *e, const char *close)
{
    json_t *made = template_keep(e->run, json_array());
    while (!e->run->failed && !mark(e, close)) {
        json_t *value = template_read(e);
        json_array_append(made, value ? value : template_keep(e->run, json_null()));
        if (!mark(e, ",") && !mark(e, close)) return template_fail(e->run, "a list has no end");
        if (e->at[-1] == *close) break;
    }
    return made;
}

static json_t *object(struct template_expression *e)
{
    json_t *made = template_keep(e->run, json_object());
    while (!e->run->failed && !mark(e, "}")) {
        json_t *key = template_read(e);
        if (!mark(e, ":")) return template_fail(e->run, "an object has no end");
        json_t *value = template_read(e);
        if (json_is_string(key) && value) json_object_set(made, json_string_value(key), value);
        if (!mark(e, ",") && !mark(e, "}")) return template_fail(e->run, "an object has no end");
        if (e->at[-1] == '}') break;
    }
    return made;
}

static json_t *primary(struct template_expression *e)
{
    char found[TEMPLATE_NAME];
    if (--e->run->budget < 0) return template_fail(e->run, "too much to do");
    skip_space(e);
    if (e->at < e->end && (*e->at == '"' || *e->at == '\'')) return string(e);
    if (mark(e, "[")) return list(e, "]");
    if (mark(e, "{")) return object(e);
    if (mark(e, "(")) {
        json_t *value = template_read(e);
        return mark(e, ")") ? value : template_fail(e->run, "a bracket that does not close");
    }
    if (e->at < e->end && isdigit((unsigned char)*e->at)) {
        char *behind;
        const long long number = strtoll(e->at, &behind, 10);
        e->at = behind;
        return template_keep(e->run, json_integer(number));
    }
    if (!name(e, found)) return template_fail(e->run, "an expression that is not known");
    if (!strcasecmp(found, "true")) return template_keep(e->run, json_true());
    if (!strcasecmp(found, "false")) return template_keep(e->run, json_false());
    if (!strcasecmp(found, "none")) return template_keep(e->run, json_null());
    if (!mark(e, "(")) return template_variable(e->run, found);
    struct template_call call = {.count = 0};
    memcpy(call.name, found, sizeof found);
    arguments(e, &call);
    return e->dry ? NULL : template_function(e->run, &call);
}

/* value[at], value[from:to:step]; behind the opening bracket. */
static json_t *subscript(struct template_expression *e, json_t *value)
{
    json_t *bound[3] = {NULL, NULL, NULL};
    int colons = 0;
    for (;; colons++) {
        skip_space(e);
        if (e->at < e->end && *e->at != ':' && *e->at != ']') bound[colons] = template_read(e);
        if (colons == 2 || !mark(e, ":")) break;
    }
    if (!mark(e, "]")) return template_fail(e->run, "a bracket that does not close");
    if (e->dry) return NULL;
    if (!value) return fail(e, "a member of what is undefined");
    if (!colons && json_is_object(value))
        return json_is_string(bound[0]) ? json_object_get(value, json_string_value(bound[0]))
                                        : NULL;
    const int64_t n = (int64_t)json_array_size(value);
    if (!json_is_array(value)) return fail(e, "a member of what has none");
    if (!colons) {
        int64_t at = json_integer_value(bound[0]);
        if (!json_is_integer(bound[0])) return NULL;
        if (at < 0) at += n;
        return at < 0 ? NULL : json_array_get(value, (size_t)at);
    }
    const int64_t step = bound[2] ? json_integer_value(bound[2]) : 1;
    if (step != 1 && step != -1) return fail(e, "a step that is not known");
    int64_t range[2] = {step > 0 ? 0 : n - 1, step > 0 ? n : -1};
    for (int i = 0; i < 2; i++) {
        if (!json_is_integer(bound[i])) continue;
        range[i] = json_integer_value(bound[i]);
        if (range[i] < 0) range[i] += n;
        const int64_t low = step > 0 ? 0 : -1, high = step > 0 ? n : n - 1;
        range[i] = range[i] < low ? low : range[i] > high ? high : range[i];
    }
    json_t *made = template_keep(e->run, json_array());
    for (int64_t i = range[0]; step > 0 ? i < range[1] : i > range[1]; i += step)
        json_array_append(made, json_array_get(value, (size_t)i));
    return made;
}

/* value is [not] NAME[(...)] */
static json_t *test(struct template_expression *e, json_t *value)
{
    const bool inverse = word(e, "not");
    struct template_call call = {.count = 0};
    if (!name(e, call.name)) return template_fail(e->run, "a test that is not known");
    if (mark(e, "(")) arguments(e, &call);
    if (e->dry) return NULL;
    return template_keep(e->run, json_boolean(template_test(e->run, value, &call) != inverse));
}

static json_t *postfix(struct template_expression *e)
{
    json_t *value = primary(e);
    while (!e->run->failed) {
        struct template_call call = {.count = 0};
        if (mark(e, ".")) {
            if (!name(e, call.name)) return template_fail(e->run, "a member has no name");
            if (mark(e, "(")) {
                arguments(e, &call);
                value = e->dry ? NULL : template_method(e->run, value, &call);
            } else if (!value) {
                fail(e, "a member of what is undefined");
            } else {
                value = json_object_get(value, call.name);
            }
        } else if (mark(e, "[")) {
            value = subscript(e, value);
        } else if (skip_space(e), e->at < e->end && *e->at == '|') {
            e->at++;
            if (!name(e, call.name)) return template_fail(e->run, "a filter has no name");
            if (mark(e, "(")) arguments(e, &call);
            value = e->dry ? NULL : template_filter(e->run, value, &call);
        } else if (word(e, "is")) {
            value = test(e, value);
        } else {
            break;
        }
    }
    return value;
}

static json_t *unary(struct template_expression *e)
{
    if (!mark(e, "-")) return postfix(e);
    json_t *value = postfix(e);
    if (e->dry) return NULL;
    if (!json_is_integer(value) || json_integer_value(value) == INT64_MIN)
        return fail(e, "less of what is no number");
    return template_keep(e->run, json_integer(-json_integer_value(value)));
}

/* The binary operators, loosest first, those of a row alike; of those in a row the first that fits
 * is taken. */
static const char *const operators[][8] = {
    {"==", "!=", "<=", ">=", "<", ">"}, {"~"}, {"+", "-"}, {"*", "//", "/", "%"}};
enum { LEVELS = sizeof operators / sizeof *operators };

static json_t *binary(struct template_expression *e, int level)
{
    if (level == LEVELS) return unary(e);
    json_t *left = binary(e, level + 1);
    while (!e->run->failed) {
        const char *operator= NULL;
        bool inverse = false;
        for (int i = 0; !operator&& i<8 && operators[level][i]; i++)
            if (mark(e, operators[level][i])) operator= operators[level][i];
        if (!operator&& level == 0) {
            const char *before = e->at;
            inverse = word(e, "not");
            if (word(e, "in"))
                operator= "in";
            else
                e->at = before;
        }
        if (!operator) break;
        json_t *right = binary(e, level + 1);
        left = e->dry ? NULL : template_operate(e->run, operator, left, right);
        if (inverse && !e->dry) left = template_keep(e->run, json_boolean(!template_true(left)));
    }
    return left;
}

static json_t *negation(struct template_expression *e)
{
    if (!word(e, "not")) return binary(e, 0);
    json_t *value = template_enter(e->run) ? negation(e) : NULL;
    template_leave(e->run);
    return e->dry ? NULL : template_keep(e->run, json_boolean(!template_true(value)));
}

/* and, or: the right side counts only where the left one does not settle it. */
static json_t *junction(struct template_expression *e, bool either)
{
    json_t *value = either ? junction(e, false) : negation(e);
    const bool dry = e->dry;
    while (!e->run->failed && word(e, either ? "or" : "and")) {
        const bool settled = template_true(value) == either;
        e->dry = dry || settled;
        json_t *right = either ? junction(e, false) : negation(e);
        if (!settled) value = right;
        e->dry = dry;
    }
    return dry ? NULL : value;
}

static json_t *read_choice(struct template_expression *e)
{
    const bool dry = e->dry;
    const char *begin = e->at;
    e->dry = true;
    junction(e, true); /* read over: an `if` behind it may rule it out */
    const char *end = e->at;
    bool holds = true;
    json_t *value = NULL;
    const bool choice = !e->run->failed && word(e, "if");
    if (choice) {
        e->dry = dry;
        holds = template_true(junction(e, true));
        if (word(e, "else")) {
            e->dry = dry || holds;
            value = template_read(e);
        }
        end = e->at;
    }
    e->dry = dry;
    if (!dry && holds) {
        e->at = begin;
        value = junction(e, true);
        e->at = end;
    }
    return dry ? NULL : value;
}

static json_t *template_read(struct template_expression *e)
{
    json_t *value = template_enter(e->run) ? read_choice(e) : NULL;
    template_leave(e->run);
    return value;
}

json_t *template_evaluate(struct template_run *run, const char *text, size_t size)
{
    struct template_expression e = {run, text, text + size, false};
    json_t *value = template_read(&e);
    skip_space(&e);
    if (e.at != e.end) template_fail(run, "an expression that is not known");
    return run->failed ? NULL : value;
}

json_t *template_variable(const struct template_run *run, const char *name)
{
    for (int i = run->scope_count - 1; i >= 0; i--) {
        json_t *value = json_object_get(run->scopes[i], name);
        if (value) return value;
    }
    return NULL;
}
