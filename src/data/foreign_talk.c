/* See foreign_talk.h. */
#include "src/data/foreign_talk.h"

#include "src/base/memory.h"
#include "src/data/fields.h"
#include "src/data/jsonl.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static enum speaker speaker_of(const char *name)
{
    static const struct {
        const char *name;
        enum speaker speaker;
    } all[] = {{"user", USER},           {"human", USER},      {"prompter", USER},
               {"assistant", ASSISTANT}, {"gpt", ASSISTANT},   {"chatgpt", ASSISTANT},
               {"bot", ASSISTANT},       {"model", ASSISTANT}, {"system", SYSTEM}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (!strcasecmp(name, all[i].name)) return all[i].speaker;
    return OTHER;
}

static void text_join(char **text, const char *more)
{
    if (!*text) {
        *text = memory_text(more);
        return;
    }
    const size_t size = strlen(*text) + strlen(more) + 2;
    char *joined = memory_allocate(size);
    snprintf(joined, size, "%s\n%s", *text, more);
    free(*text);
    *text = joined;
}

/* Two users in one message: who said what stands in its text. */
static void name_into(char **text, char **name)
{
    if (!*name) return;
    const size_t size = strlen(*text) + strlen(*name) + 3;
    char *whole = memory_allocate(size);
    snprintf(whole, size, "%s: %s", *name, *text);
    free(*text);
    free(*name);
    *text = whole;
    *name = NULL;
}

/* name: of a user who has one, or NULL. */
static void user_add(struct talk *talk, const char *name, const char *text, bool same)
{
    char *said = memory_text(text), *own = name ? memory_text(name) : NULL;
    char **last = &talk->names[talk->count - 1];
    if (!same) {
        *last = own;
    } else if (!*last || !own || strcmp(*last, own) != 0) {
        name_into(&talk->texts[talk->count - 1], last);
        name_into(&said, &own);
    } else {
        free(own);
    }
    text_join(&talk->texts[talk->count - 1], said);
    free(said);
}

void talk_add(struct talk *talk, enum speaker speaker, const char *name, const char *text)
{
    if (text_is_blank(text)) return;
    if (speaker == SYSTEM) {
        text_join(&talk->system, text);
        return;
    }
    if (!talk->count && speaker == ASSISTANT) {
        talk->shortened = true;
        return;
    }
    const bool same = talk->count && (talk->count % 2 == 1) == (speaker == USER);
    if (!same) {
        talk->texts = memory_resize(talk->texts, (size_t)(talk->count + 1) * sizeof *talk->texts);
        talk->names = memory_resize(talk->names, (size_t)(talk->count + 1) * sizeof *talk->names);
        talk->names[talk->count] = NULL;
        talk->texts[talk->count++] = NULL;
    }
    if (speaker == USER)
        user_add(talk, name, text, same);
    else
        text_join(&talk->texts[talk->count - 1], text);
}

/* Text, or a list of parts that are {"type":"text","text":...}. */
static void content_add(struct talk *talk, enum speaker speaker, const char *name,
                        const json_t *content)
{
    if (json_is_string(content)) {
        talk_add(talk, speaker, name, json_string_value(content));
        return;
    }
    if (json_is_null(content)) return;
    for (size_t i = 0; i < json_array_size(content); i++) {
        const char *text = json_string_value(json_object_get(json_array_get(content, i), "text"));
        if (!text)
            snprintf(talk->why, sizeof talk->why, "a message has a part that is no text");
        else
            talk_add(talk, speaker, name, text);
    }
    if (!json_is_array(content))
        snprintf(talk->why, sizeof talk->why, "a message is neither text nor a list of parts");
}

const json_t *json_either(const json_t *object, const char *first, const char *second)
{
    const json_t *member = json_object_get(object, first);
    return member ? member : json_object_get(object, second);
}

enum speaker talk_speaker(const json_t *message)
{
    const char *name = json_string_value(json_either(message, "role", "from"));
    return name ? speaker_of(name) : OTHER;
}

bool talk_has_system(const json_t *line)
{
    const json_t *first = json_array_get(json_object_get(line, "messages"), 0);
    return first && talk_speaker(first) == SYSTEM;
}

void talk_add_messages(struct talk *talk, const json_t *messages)
{
    for (size_t i = 0; i < json_array_size(messages); i++) {
        const int64_t before = talk->count;
        const json_t *message = json_array_get(messages, i);
        const char *name = json_string_value(json_either(message, "role", "from"));
        const json_t *content = json_either(message, "content", "value");
        const enum speaker speaker = talk_speaker(message);
        if (speaker == OTHER)
            snprintf(talk->why, sizeof talk->why, "message %zu is by \"%.60s\"", i + 1,
                     name ? name : "nobody");
        else if (!content)
            snprintf(talk->why, sizeof talk->why, "message %zu has no content", i + 1);
        else
            content_add(talk, speaker, json_string_value(json_object_get(message, "name")),
                        content);
        if (talk->count == before && !(i == 0 && speaker == SYSTEM) && !talk->unlike)
            talk->unlike = (int64_t)i + 1;
    }
}

void talk_add_side(struct talk *talk, enum speaker speaker, const json_t *side)
{
    if (json_is_array(side))
        talk_add_messages(talk, side);
    else
        content_add(talk, speaker, NULL, side);
}

void talk_join_system(struct talk *talk)
{
    if (!talk->system || !talk->count) return;
    text_join(&talk->system, talk->texts[0]);
    free(talk->texts[0]);
    talk->texts[0] = talk->system;
    talk->system = NULL;
}

void talk_free(struct talk *talk)
{
    for (int64_t i = 0; i < talk->count; i++) {
        free(talk->texts[i]);
        free(talk->names[i]);
    }
    free(talk->texts);
    free(talk->names);
    free(talk->system);
}

void json_write_member(FILE *out, const char *name, const json_t *value)
{
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(17));
    if (text) fprintf(out, "\"%s\":%s", name, text);
    free(text);
}

void talk_write_id(const json_t *id, FILE *out)
{
    if (!json_is_string(id) && !json_is_integer(id)) return;
    json_write_member(out, "id", id);
    fputc(',', out);
}

void talk_write_messages(const struct talk *talk, int64_t count, FILE *out)
{
    const json_t *lines = json_object_get(talk->judged, "messages");
    const size_t first = talk_has_system(talk->judged);
    fputs("\"messages\":[", out);
    if (talk->system) {
        fputc('{', out);
        message_write(out, ROLE_SYSTEM, NULL, talk->system);
        fputc('}', out);
    }
    for (int64_t i = 0; i < count; i++) {
        const json_t *slots = json_object_get(json_array_get(lines, (size_t)i + first), "slots");
        fputs(i || talk->system ? ",{" : "{", out);
        message_write(out, i % 2 ? ROLE_ASSISTANT : ROLE_USER, talk->names[i], talk->texts[i]);
        if (slots && !json_is_null(slots)) {
            fputc(',', out);
            json_write_member(out, "slots", slots);
        }
        fputc('}', out);
    }
    fputc(']', out);
}
