/* A chat format as a template; see chat_write.h. */
#include "src/text/chat_write.h"

#include <string.h>

static void append(struct text_buffer *out, const char *text)
{
    text_append(out, text, strlen(text));
}

/* The texts, one behind the other, as a string of the template's language. */
static void append_string(struct text_buffer *out, const char *const *texts)
{
    append(out, "'");
    for (; *texts; texts++)
        for (const char *at = *texts; *at; at++) {
            if (*at == '\n')
                append(out, "\\n");
            else if (*at == '\'' || *at == '\\')
                append(out, *at == '\'' ? "\\'" : "\\\\");
            else
                text_append(out, at, 1);
        }
    append(out, "'");
}
#define STRING(out, ...) append_string(out, (const char *const[]){__VA_ARGS__, NULL})

/* {{- 'before' + m.content + 'behind' }} */
static void append_turn(struct text_buffer *out, const struct chat_format *format,
                        enum dialogue_role role, const char *opened)
{
    const struct chat_turn *turn = &format->turns[role];
    append(out, "{{- ");
    if (opened) append(out, "('' if ");
    if (opened) append(out, opened);
    if (opened) append(out, " else ");
    STRING(out, turn->before, turn->lead);
    append(out, opened ? ") + m.content" : " + m.content");
    if (turn->trimmed) append(out, " | trim");
    append(out, " + ");
    if (role == ROLE_ASSISTANT && !format->end) append(out, "eos_token + ");
    STRING(out, role == ROLE_ASSISTANT && format->end ? format->end : "", turn->behind);
    append(out, " }}");
}

char *chat_template_write(const struct chat_format *format, const char *system)
{
    const struct chat_turn *turns = format->turns;
    struct text_buffer out = {0};
    if (!system) system = format->system;
    append(&out, "{{- ");
    STRING(&out, format->begin);
    append(&out, " }}\n{%- for m in messages %}\n");
    if (system) {
        append(&out, "{%- if loop.first and m.role != 'system' %}{{- ");
        STRING(&out, turns[ROLE_SYSTEM].before, turns[ROLE_SYSTEM].lead, system,
               turns[ROLE_SYSTEM].behind);
        append(&out, " }}{%- endif %}\n");
    }
    append(&out, "{%- if m.role == 'system' %}");
    if (turns[ROLE_SYSTEM].before)
        append_turn(&out, format, ROLE_SYSTEM, NULL);
    else
        append(&out, "{{- raise_exception('this chat format has no system message') }}");
    append(&out, "\n{%- elif m.role == 'user' %}");
    append_turn(&out, format, ROLE_USER,
                !format->system_in_user ? NULL
                : system                ? "loop.index0 < 1 or loop.previtem.role == 'system'"
                         : "loop.previtem is defined and loop.previtem.role == 'system'");
    append(&out, "\n{%- else %}");
    append_turn(&out, format, ROLE_ASSISTANT, NULL);
    append(&out, "\n{%- endif %}\n{%- endfor %}\n{%- if add_generation_prompt %}{{- ");
    STRING(&out, turns[ROLE_ASSISTANT].before);
    append(&out, " }}{%- endif %}\n");
    return out.data;
}
