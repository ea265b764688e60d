/* Values of templates and their operators; see template.h. */
#include "src/text/template_state.h"
#include "src/text/token_list.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

json_t *template_fail(struct template_run *run, const char *format, ...)
{
    char text[256];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    if (!run->failed) run->failed = ERROR(STATUS_INPUT, "%s", text);
    return NULL;
}

bool template_enter(struct template_run *run)
{
    if (++run->depth > TEMPLATE_DEPTH) template_fail(run, "too many brackets or blocks");
    return !run->failed;
}

void template_leave(struct template_run *run)
{
    run->depth--;
}

json_t *template_keep(struct template_run *run, json_t *made)
{
    json_array_append_new(run->kept, made);
    return made;
}

json_t *template_text(struct template_run *run, const char *text, size_t size)
{
    run->budget -= (int64_t)(size / TEMPLATE_BYTES);
    if (run->budget < 0) return template_fail(run, "too much to do");
    json_t *made = json_stringn(text, size);
    return made ? template_keep(run, made) : template_fail(run, "a text that is no UTF-8");
}

json_t *template_truth(struct template_run *run, bool value)
{
    return template_keep(run, json_boolean(value));
}

bool template_true(const json_t *value)
{
    switch (value ? json_typeof(value) : JSON_NULL) {
    case JSON_TRUE:
        return true;
    case JSON_INTEGER:
        return json_integer_value(value) != 0;
    case JSON_REAL:
        return json_real_value(value) < 0 || json_real_value(value) > 0;
    case JSON_STRING:
        return json_string_length(value) > 0;
    case JSON_ARRAY:
        return json_array_size(value) > 0;
    case JSON_OBJECT:
        return json_object_size(value) > 0;
    default:
        return false;
    }
}

const char *template_string(struct template_run *run, json_t *value)
{
    char number[32];
    if (run->failed) return NULL;
    if (!value) return "";
    if (json_is_string(value)) return json_string_value(value);
    if (json_is_boolean(value)) return json_is_true(value) ? "True" : "False";
    if (json_is_null(value)) return "None";
    if (!json_is_integer(value)) {
        template_fail(run, "a value that is printed is no text");
        return NULL;
    }
    snprintf(number, sizeof number, "%lld", (long long)json_integer_value(value));
    return json_string_value(template_text(run, number, strlen(number)));
}

static json_t *join(struct template_run *run, const char *left, const char *right)
{
    if (!left || !right) return NULL;
    struct text_buffer both = {0};
    text_append(&both, left, strlen(left));
    text_append(&both, right, strlen(right));
    json_t *made = template_text(run, both.data, both.size);
    free(both.data);
    return made;
}

static json_t *reckon(struct template_run *run, char operator, json_int_t a, json_int_t b)
{
    if (operator== '%' || operator== '/')
        return b > 0 && a >= 0 ? template_keep(run, json_integer(operator== '%' ? a % b : a / b))
                               : template_fail(run, "a division that is not known");
    json_int_t made;
    const bool beyond = operator== '+' ? __builtin_add_overflow(a, b, &made) :
                        operator== '-' ? __builtin_sub_overflow(a, b, &made)
                                       : __builtin_mul_overflow(a, b, &made);
    return beyond ? template_fail(run, "a number that is too large")
                  : template_keep(run, json_integer(made));
}

bool template_equal(const json_t *a, const json_t *b)
{
    return a && b ? json_equal(a, b) : a == b;
}

bool template_contains(const json_t *all, const json_t *one)
{
    if (json_is_string(all))
        return json_is_string(one) && strstr(json_string_value(all), json_string_value(one));
    if (json_is_object(all))
        return json_is_string(one) && json_object_get(all, json_string_value(one));
    for (size_t i = 0; i < json_array_size(all); i++)
        if (template_equal(json_array_get(all, i), one)) return true;
    return false;
}

json_t *template_operate(struct template_run *run, const char *operator, json_t * left,
                         json_t *right)
{
    if (!strcmp(operator, "==")) return template_truth(run, template_equal(left, right));
    if (!strcmp(operator, "!=")) return template_truth(run, !template_equal(left, right));
    if (!strcmp(operator, "in")) return template_truth(run, template_contains(right, left));
    if (!strcmp(operator, "~"))
        return join(run, template_string(run, left), template_string(run, right));
    if (!strcmp(operator, "+") && json_is_string(left) && json_is_string(right))
        return join(run, json_string_value(left), json_string_value(right));
    if (!strcmp(operator, "+") && json_is_array(left) && json_is_array(right)) {
        run->budget -= (int64_t)(json_array_size(left) + json_array_size(right));
        if (run->budget < 0) return template_fail(run, "too much to do");
        json_t *both = template_keep(run, json_copy(left));
        json_array_extend(both, right);
        return both;
    }
    if (!json_is_integer(left) || !json_is_integer(right))
        return template_fail(run, "%s of what are no numbers", operator);
    const json_int_t a = json_integer_value(left), b = json_integer_value(right);
    if (*operator== '<' || * operator== '>') {
        const bool holds = operator[1] ? a == b : false;
        return template_truth(run, holds || (*operator== '<' ? a < b : a> b));
    }
    if (!strcmp(operator, "/")) return template_fail(run, "a division that is not known");
    return reckon(run, *operator, a, b);
}
