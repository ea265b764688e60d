/* Chat templates are recognised by what they write; see chat_recognise.h. */
#include "src/text/chat_recognise.h"

#include "src/base/file.h"
#include "src/base/json.h"
#include "src/base/memory.h"
#include "src/text/template.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Dialogues that tell formats apart: with and without a system message, ending in either role,
 * with white space at the ends of what is said. */
enum { PROBE_MESSAGES = 4 };
static const struct probe {
    struct chat_message messages[PROBE_MESSAGES];
    int count;
} probes[] = {
    {{{ROLE_USER, " one\n"}}, 1},
    {{{ROLE_USER, " one\n"}, {ROLE_ASSISTANT, "  two\t"}, {ROLE_USER, "three"}}, 3},
    {{{ROLE_SYSTEM, " four "}, {ROLE_USER, " one\n"}}, 2},
    {{{ROLE_SYSTEM, " four "},
      {ROLE_USER, " one\n"},
      {ROLE_ASSISTANT, "  two\t"},
      {ROLE_USER, "three"}},
     4},
    {{{ROLE_USER, " one\n"}, {ROLE_ASSISTANT, "  two\t"}}, 2},
};
enum { PROBES = sizeof probes / sizeof *probes };

/* What the template writes for each; NULL where it refuses. */
struct written {
    char *texts[PROBES];
    status why; /* of the first dialogue, where that was refused */
};

static bool ends_in_user(const struct probe *probe)
{
    return probe->messages[probe->count - 1].role == ROLE_USER;
}

static void probe_render(const struct chat_template *template, struct written *out)
{
    memset(out, 0, sizeof *out);
    for (int p = 0; p < PROBES; p++) {
        json_t *messages = json_array();
        for (int m = 0; m < probes[p].count; m++)
            json_array_append_new(messages, json_pack("{s:s, s:s}", "role",
                                                      role_name(probes[p].messages[m].role),
                                                      "content", probes[p].messages[m].content));
        json_t *context =
            json_pack("{s:o, s:s, s:s, s:b, s:n, s:n}", "messages", messages, "bos_token",
                      template->begin_token, "eos_token", template->end_token,
                      "add_generation_prompt", ends_in_user(&probes[p]), "tools", "documents");
        status s = template_render(template->source, context, &out->texts[p]);
        json_decref(context);
        if (s) out->texts[p] = NULL;
        if (p == 0)
            out->why = s;
        else
            status_free(s);
    }
}

static void written_free(struct written *written)
{
    for (int p = 0; p < PROBES; p++) free(written->texts[p]);
    status_free(written->why);
}

/* Whether the format writes the same; system: of dialogues without one; end: the tokenizer's, for a
 * format that has no end token of its own. */
static bool format_fits(const struct chat_format *of, const char *system, const char *end,
                        const struct written *written)
{
    struct chat_format ended = *of;
    const struct chat_format *format = &ended;
    bool fits = of->end || *end;
    if (!of->end) ended.end = end;
    for (int p = 0; p < PROBES && fits; p++) {
        struct chat_message messages[PROBE_MESSAGES];
        struct text_buffer text = {0}, thought = {0};
        memcpy(messages, probes[p].messages, sizeof messages);
        const bool own = messages[0].role == ROLE_SYSTEM;
        /* There the system message wanders from turn to turn, in our histories it does not. */
        if (own && format->system_in_user && probes[p].count > 2) continue;
        if (format->thinks && !ends_in_user(&probes[p])) {
            const char *empty = "<think>\n\n</think>\n\n";
            struct chat_message *last = &messages[probes[p].count - 1];
            text_append(&thought, empty, strlen(empty));
            text_append(&thought, last->content, strlen(last->content));
            last->content = thought.data;
        }
        const bool writes =
            chat_text(format, system, messages, probes[p].count, ends_in_user(&probes[p]), &text);
        fits = writes ? written->texts[p] && !strcmp(text.data, written->texts[p])
                      : !written->texts[p];
        free(text.data);
        free(thought.data);
    }
    return fits;
}

/* The system message in the text of the first dialogue, which has none; NULL: there is none. */
static char *system_found(const struct chat_format *format, const struct written *written)
{
    const struct chat_turn *turn = &format->turns[ROLE_SYSTEM];
    if (!turn->before || !written->texts[0]) return NULL;
    struct text_buffer before = {0}, behind = {0};
    text_append(&before, format->begin, strlen(format->begin));
    text_append(&before, turn->before, strlen(turn->before));
    text_append(&before, turn->lead, strlen(turn->lead));
    text_append(&behind, turn->behind, strlen(turn->behind));
    const char *next =
        format->system_in_user ? probes[0].messages[0].content : format->turns[ROLE_USER].before;
    text_append(&behind, next, strlen(next));
    char *found = NULL;
    if (!strncmp(written->texts[0], before.data, before.size)) {
        const char *begin = written->texts[0] + before.size, *end = strstr(begin, behind.data);
        if (end) {
            found = memory_text(begin);
            found[end - begin] = 0;
        }
    }
    free(before.data);
    free(behind.data);
    return found;
}

static const struct chat_format *format_of(const struct written *written, const char *end,
                                           char **system)
{
    *system = NULL;
    for (int i = 0; chat_at(i); i++)
        if (format_fits(chat_at(i), NULL, end, written)) return chat_at(i);
    for (int i = 0; chat_at(i); i++) {
        *system = system_found(chat_at(i), written);
        if (*system && format_fits(chat_at(i), *system, end, written)) return chat_at(i);
        free(*system);
        *system = NULL;
    }
    return NULL;
}

status chat_recognise(const struct chat_template *template, const struct chat_format **out,
                      char **system)
{
    struct written written;
    char names[256];
    probe_render(template, &written);
    *out = format_of(&written, template->end_token, system);
    chat_names(names, sizeof names);
    status s =
        *out ? NULL
             : ERROR(STATUS_INPUT,
                     "%s: the chat template is none that is built in%s%s%s; choose one with "
                     "text.chat (%s)",
                     template->path, written.why ? " (" : "",
                     written.why ? status_message(written.why) : "", written.why ? ")" : "", names);
    written_free(&written);
    return s;
}

/* "<s>", or {"content": "<s>", ...}. */
static const char *token_of(const json_t *config, const char *key)
{
    const json_t *token = json_object_get(config, key);
    if (json_is_object(token)) token = json_object_get(token, "content");
    return json_is_string(token) ? json_string_value(token) : "";
}

/* The template itself, or of several that have names the one for talk. */
static const char *template_of(const json_t *config)
{
    const json_t *template = json_object_get(config, "chat_template");
    for (size_t i = 0; i < json_array_size(template); i++) {
        const json_t *entry = json_array_get(template, i);
        const char *name = json_string_value(json_object_get(entry, "name"));
        if (name && !strcmp(name, "default"))
            return json_string_value(json_object_get(entry, "template"));
    }
    return json_string_value(template);
}

status chat_template_read(const char *folder, struct chat_template *out)
{
    char *text;
    json_t *config = NULL;
    size_t size;
    *out = (struct chat_template){.source = NULL};
    snprintf(out->path, sizeof out->path, "%s/tokenizer_config.json", folder);
    if (file_exists(out->path)) {
        TRY(file_read(out->path, &text, &size));
        /* Numbers as reals: Transformers writes model_max_length as an integer of 31 digits. */
        status s = json_parse_file(text, size, out->path, JSON_DECODE_INT_AS_REAL, &config);
        free(text);
        if (s) return s;
    }
    char file[sizeof out->path];
    snprintf(file, sizeof file, "%s/chat_template.jinja", folder);
    status s = NULL;
    if (file_exists(file)) {
        memcpy(out->path, file, sizeof file);
        s = file_read(file, &out->source, &size);
    } else if (template_of(config)) {
        out->source = memory_text(template_of(config));
    }
    out->begin_token = memory_text(token_of(config, "bos_token"));
    out->end_token = memory_text(token_of(config, "eos_token"));
    json_decref(config);
    return s;
}

void chat_template_free(struct chat_template *template)
{
    free(template->source);
    free(template->begin_token);
    free(template->end_token);
    *template = (struct chat_template){.source = NULL};
}
