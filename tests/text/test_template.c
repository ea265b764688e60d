/* Chat templates: what the language makes of values, and which formats are recognised by it. */
#include "src/base/file.h"
#include "src/base/memory.h"
#include "src/text/chat_recognise.h"
#include "src/text/chat_write.h"
#include "src/text/template.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char context_text[] =
    "{\"a\":1,\"b\":\" x \",\"none\":null,\"list\":[1,2,3],\"bos_token\":\"<s>\",\"messages\":["
    "{\"role\":\"user\",\"content\":\"Hi\"},{\"role\":\"assistant\",\"content\":\"Yo\"}]}";

#define TEN(text) text text text text text text text text text text

/* NULL: the template fails; *why: its message. */
static char *rendered(const char *source, char why[256])
{
    json_t *context;
    char *out;
    assert_null(json_parse(context_text, strlen(context_text), "context", &context));
    status s = template_render(source, context, &out);
    json_decref(context);
    if (s) {
        snprintf(why, 256, "%s", status_message(s));
        status_free(s);
        return NULL;
    }
    return out;
}

static void templates_say_what_jinja_says(void **state)
{
    (void)state;
    static const struct {
        const char *source, *text;
    } table[] = {
        {"a{{ a }}b", "a1b"},
        {"{{ 1 + 2 * 3 }} {{ (1 + 2) * 3 }} {{ 7 // 2 }} {{ 7 % 2 }} {{ -a + 3 }}", "7 9 3 1 2"},
        {"{{ 'x' + b + \"y\\n\" }}|{{ b | trim }}|{{ 'a' ~ 1 ~ none }}", "x x y\n|x|a1None"},
        {"{{ 'a' 'b' }}{{ b + 'c' | upper }}", "ab x C"},
        {"{{ a == 1 }} {{ a != 1 }} {{ 2 > a }} {{ a >= 2 }} {{ not a == 1 }}",
         "True False True False False"},
        {"{{ 'x' in b }} {{ 2 in list }} {{ 4 not in list }} {{ 'role' in messages[0] }}",
         "True True True True"},
        {"{{ missing is defined }} {{ a is not defined }} {{ none is none }} {{ b is string }}",
         "False False True True"},
        {"{{ missing is defined and missing.x.y }}{{ a or missing.x }}", "False1"},
        {"{{ 'y' if a == 1 else missing.x }}{{ missing.x if a == 2 else 'n' }}", "yn"},
        {"{{ 'y' if a == 2 }}|{{ missing }}|{{ missing | default('d') }}", "||d"},
        {"{{ list[0] }}{{ list[-1] }}{{ list[1:] | length }}{{ list[::-1][0] }}{{ list[:2][-1] }}",
         "13232"},
        {"{{ messages[0]['role'] }} {{ messages[-1].content }} {{ messages | length }}",
         "user Yo 2"},
        {"{{ ' ab '.strip() }}{{ 'aba'.lstrip('a') }}{{ 'aba'.rstrip('a') }}", "abbaab"},
        {"{{ 'a-b-c'.split('-')[-1] }}{{ 'ab'.startswith('a') }}{{ 'ab'.endswith('a') }}",
         "cTrueFalse"},
        {"{{ 'aXa'.replace('X', 'yy') }} {{ 'aB' | upper }} {{ 'aB' | capitalize }}", "ayya AB Ab"},
        {"{% if a == 2 %}x{% elif a == 1 %}y{% else %}z{% endif %}", "y"},
        {"{% if a == 2 %}{{ unknown_function() }}{% else %}z{% endif %}", "z"},
        {"{% for m in messages %}{{ loop.index }}{{ m.role }}{% if not loop.last %},{% endif %}"
         "{% endfor %}",
         "1user,2assistant"},
        {"{% for k, v in {'p': 1, 'q': 2}.items() %}{{ k }}{{ v }}{% endfor %}", "p1q2"},
        {"{% set x = 1 %}{% for i in list %}{% set x = i %}{% endfor %}{{ x }}", "1"},
        {"{% set n = namespace(x=1) %}{% for i in list %}{% set n.x = n.x + i %}{% endfor %}"
         "{{ n.x }}",
         "7"},
        {"{{ (messages | selectattr('role', 'equalto', 'user') | list) | length }}", "1"},
        {"a\n{% if a %}\nb\n{% endif %}\nc", "a\nb\nc"},
        {"a\n  {% if a %}  \nb{%+ endif %}", "a\n  \nb"},
        {"a \n {%- if a -%} \n b {%- endif %}", "ab"},
        {"a {{- b -}} c", "a x c"},
        {"x{# a comment {{ a }} #}y\n", "xy"},
        {"{{ '}}' }}{{ \"{%\" }}", "}}{%"},
        {"{{ strftime_now('%d %b %Y') }}", "26 Jul 2024"},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        char why[256];
        char *text = rendered(table[i].source, why);
        if (!text) fail_msg("%s: %s", table[i].source, why);
        if (strcmp(text, table[i].text) != 0)
            fail_msg("%s: found \"%s\", wanted \"%s\"", table[i].source, text, table[i].text);
        free(text);
    }
}

static void what_a_template_may_not_do_or_is_not_known_is_an_error(void **state)
{
    (void)state;
    static const struct {
        const char *source, *why;
    } table[] = {
        {"{{ raise_exception('no tools') }}", "no tools"},
        {"{{ missing.x }}", "a member of what is undefined"},
        {"{{ b | sort }}", "a filter sort that is not known"},
        {"{{ b.title() }}", "a method title that is not known"},
        {"{{ a is prime }}", "a test prime that is not known"},
        {"{{ range(3) }}", "a function range that is not known"},
        {"{% include 'x' %}", "a block {% include %}"},
        {"{% macro m() %}x{% endmacro %}{{ m() }}", "a function m that is not known"},
        {"{% if a %}x", "a block does not end"},
        {"{{ a", "a tag does not end"},
        {"{{ a b }}", "an expression that is not known"},
        {"{{ 'a' + 1 }}", "+ of what are no numbers"},
        {"{{ list }}", "is no text"},
        {"{% for c in a %}{% endfor %}", "a loop over what is no list"},
        {"{{ " TEN(TEN("(")) "1" TEN(TEN(")")) " }}", "too many brackets"},
        {"{{ " TEN(TEN("not ")) "1 }}", "too many brackets"},
        {TEN(TEN("{% if a %}")) TEN(TEN("{% endif %}")), "too many brackets or blocks"},
        {TEN("{% for x in list %}{% for y in list %}") "x" TEN("{% endfor %}{% endfor %}"),
         "a loop that is not known"},
        {TEN("{% for x in list %}") "{% for y in list %}x{% endfor %}" TEN("{% endfor %}"),
         "too much to do"},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        char why[256];
        char *text = rendered(table[i].source, why);
        if (text) fail_msg("%s: taken, \"%s\"", table[i].source, text);
        if (!strstr(why, table[i].why))
            fail_msg("%s: found \"%s\", wanted \"%s\"", table[i].source, why, table[i].why);
    }
}

#define CHATML(before)                                                                             \
    "{% for m in messages %}" before                                                               \
    "{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>' + '\\n' }}{% endfor %}"   \
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
#define CHATML_DEFAULT(text)                                                                       \
    CHATML("{% if loop.first and m['role'] != 'system' %}{{ '<|im_start|>system\\n" text           \
           "<|im_end|>\\n' }}{% endif %}")
#define LLAMA3(before)                                                                             \
    "{{- bos_token }}" before "{%- for m in messages %}\n  {{- '<|start_header_id|>' + m.role + "  \
    "'<|end_header_id|>\\n\\n' + "                                                                 \
    "m.content | trim + '<|eot_id|>' }}\n{%- endfor %}\n{%- if add_generation_prompt %}\n"         \
    "  {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}\n{%- endif %}\n"
#define LLAMA31                                                                                    \
    "{%- set date = strftime_now('%d %b %Y') %}"                                                   \
    "{%- if messages[0].role == 'system' %}{%- set s = messages[0].content | trim %}"              \
    "{%- set messages = messages[1:] %}{%- else %}{%- set s = '' %}{%- endif %}"                   \
    "{{- '<|start_header_id|>system<|end_header_id|>\\n\\nCutting Knowledge Date: December "       \
    "2023\\n"                                                                                      \
    "Today Date: ' + date + '\\n\\n' + s + '<|eot_id|>' }}"
#define MISTRAL(user, reply)                                                                       \
    "{{ bos_token }}{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"  \
    "{{ raise_exception('roles') }}{% endif %}{% if m.role == 'user' %}{{ " user                   \
    " }}{% else %}{{ " reply " + eos_token }}{% endif %}{% endfor %}"
#define MISTRAL_SYSTEM(place, user, reply, behind)                                                 \
    "{% if messages[0].role == 'system' %}{% set s = messages[0].content + '\\n\\n' %}"            \
    "{% set messages = messages[1:] %}{% endif %}{{ bos_token }}{% for m in messages %}"           \
    "{% if m.role == 'user' %}{{ " user " + (s if s is defined and loop." place                    \
    " else '') + m.content + " behind " }}{% else %}{{ " reply                                     \
    " + eos_token }}{% endif %}{% endfor %}"
#define QWEN3                                                                                      \
    "{% for m in messages %}{% if m.role == 'assistant' and loop.last %}"                          \
    "{{ '<|im_start|>assistant\\n<think>\\n\\n</think>\\n\\n' + m.content + '<|im_end|>\\n' }}{% " \
    "else %}"                                                                                      \
    "{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{% endif %}{% endfor %}"   \
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"

static struct chat_template template_of(const char *source, const char *begin, const char *end)
{
    return (struct chat_template){(char *)(uintptr_t)source, (char *)(uintptr_t)begin,
                                  (char *)(uintptr_t)end, "DIR/chat"};
}

static void a_format_is_recognised_by_what_its_template_writes(void **state)
{
    (void)state;
    static const struct {
        const char *source, *begin, *format, *system;
    } table[] = {
        {CHATML(""), "", "chatml", NULL},
        {CHATML_DEFAULT("Be kind."), "", "chatml", "Be kind."},
        {CHATML_DEFAULT("You are a helpful AI assistant named SmolLM, trained by Hugging Face"), "",
         "smollm2", NULL},
        {CHATML_DEFAULT("You are Qwen, created by Alibaba Cloud. You are a helpful assistant."), "",
         "qwen2.5", NULL},
        {QWEN3, "", "qwen3", NULL},
        {LLAMA3(""), "<|begin_of_text|>", "llama3", NULL},
        {LLAMA3(LLAMA31), "<|begin_of_text|>", "llama3.1", NULL},
        {MISTRAL("'[INST] ' + m.content + ' [/INST]'", "m.content"), "<s>", "mistral-v0.2", NULL},
        {MISTRAL_SYSTEM("last", "'[INST] '", "' ' + m.content | trim", "'[/INST]'"), "<s>",
         "mistral-v0.3", NULL},
        {MISTRAL_SYSTEM("first", "' [INST] '", "' ' + m.content", "' [/INST]'"), "<s>",
         "mistral-v0.2-system", NULL},
        {MISTRAL_SYSTEM("last", "'[INST]'", "m.content", "'[/INST]'"), "<s>", "mistral-nemo", NULL},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        const struct chat_template template = template_of(table[i].source, table[i].begin, "</s>");
        const struct chat_format *format;
        char *system;
        status s = chat_recognise(&template, &format, &system);
        if (s) fail_msg("%s: %s", table[i].format, status_message(s));
        assert_string_equal(format->name, table[i].format);
        if (table[i].system)
            assert_string_equal(system, table[i].system);
        else
            assert_null(system);
        free(system);
    }
}

static void a_format_that_is_written_as_a_template_is_recognised_again(void **state)
{
    (void)state;
    for (int i = 0; chat_at(i); i++)
        for (int with_system = 0; with_system < 2; with_system++) {
            const struct chat_format *format = chat_at(i), *found;
            const char *given = with_system ? "It's \\ \"so\",\nindeed." : NULL;
            if (given && !format->turns[ROLE_SYSTEM].before) continue;
            char *source = chat_template_write(format, given), *system;
            const struct chat_template template = template_of(source, "", "</s>");
            status s = chat_recognise(&template, &found, &system);
            if (s) fail_msg("%s: %s\n%s", format->name, status_message(s), source);
            /* qwen3 is chatml but for its template's thoughts, others but for their default. */
            if (!given && !format->thinks) assert_string_equal(found->name, format->name);
            assert_string_equal(found->turns[ROLE_USER].before, format->turns[ROLE_USER].before);
            if (given) assert_string_equal(system, given);
            free(system);
            free(source);
        }
}

static void a_template_that_differs_in_any_part_is_refused_with_the_key_to_set(void **state)
{
    (void)state;
    static const char *const table[] = {
        /* No newline behind the end token; a trimmed content; another role's name. */
        "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>' }}"
        "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}",
        "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content | trim + "
        "'<|im_end|>\\n' }}{% endfor %}{% if add_generation_prompt %}"
        "{{ '<|im_start|>assistant\\n' }}{% endif %}",
        "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}"
        "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>model\\n' }}{% endif %}",
        "{% for m in messages %}{{ m | tojson }}{% endfor %}",
        "plain text",
        "",
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        const struct chat_template template = template_of(table[i], "<s>", "</s>");
        const struct chat_format *format;
        char *system;
        status s = chat_recognise(&template, &format, &system);
        if (!s) fail_msg("taken for %s: %s", format->name, table[i]);
        assert_int_equal(status_code(s), STATUS_INPUT);
        assert_non_null(strstr(status_message(s), "DIR/chat: the chat template is none"));
        assert_non_null(strstr(status_message(s), "text.chat (chatml, "));
        assert_null(strchr(status_message(s), '\n'));
        status_free(s);
    }
}

static void write_file(const char *folder, const char *name, const char *text)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_null(file_write(path, text, strlen(text)));
}

static void a_folder_holds_its_template_in_either_file(void **state)
{
    (void)state;
    char folder[] = "/tmp/regard-template-XXXXXX";
    struct chat_template template;
    assert_non_null(mkdtemp(folder));
    assert_null(chat_template_read(folder, &template));
    assert_null(template.source);
    chat_template_free(&template);
    write_file(folder, "tokenizer_config.json",
               "{\"model_max_length\":1000000000000000019884624838656,\"bos_token\":\"<s>\","
               "\"eos_token\":{\"content\":\"</s>\"},\"chat_template\":\"one\"}");
    assert_null(chat_template_read(folder, &template));
    assert_string_equal(template.source, "one");
    assert_string_equal(template.begin_token, "<s>");
    assert_string_equal(template.end_token, "</s>");
    assert_non_null(strstr(template.path, "tokenizer_config.json"));
    chat_template_free(&template);
    write_file(folder, "tokenizer_config.json",
               "{\"chat_template\":[{\"name\":\"tool_use\",\"template\":\"two\"},"
               "{\"name\":\"default\",\"template\":\"three\"}]}");
    assert_null(chat_template_read(folder, &template));
    assert_string_equal(template.source, "three");
    chat_template_free(&template);
    write_file(folder, "chat_template.jinja", "four");
    assert_null(chat_template_read(folder, &template));
    assert_string_equal(template.source, "four");
    assert_non_null(strstr(template.path, "chat_template.jinja"));
    chat_template_free(&template);
    assert_null(directory_remove(folder));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(templates_say_what_jinja_says),
        cmocka_unit_test(what_a_template_may_not_do_or_is_not_known_is_an_error),
        cmocka_unit_test(a_format_is_recognised_by_what_its_template_writes),
        cmocka_unit_test(a_format_that_is_written_as_a_template_is_recognised_again),
        cmocka_unit_test(a_template_that_differs_in_any_part_is_refused_with_the_key_to_set),
        cmocka_unit_test(a_folder_holds_its_template_in_either_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
