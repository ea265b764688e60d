/* Other programs' dialogues; see foreign.h. */
#include "src/data/foreign.h"

#include "src/base/file.h"
#include "src/base/memory.h"
#include "src/data/fields.h"
#include "src/data/foreign_format.h"
#include "src/data/jsonl.h"
#include "src/text/role.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum speaker { USER, ASSISTANT, SYSTEM, OTHER };

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

/* A dialogue being put together: sides alternate, the user's first. */
struct talk {
    char **texts; /* the user's at even places */
    char **names; /* who said it, where one user with a name said all of it; else NULL */
    int64_t count;
    char *system;
    bool shortened;
    const json_t *judged; /* the line of messages, where it has fields that say what is right */
    int64_t unlike;       /* from 1: its first message that is none of ours; 0: each is */
    char why[256];        /* it cannot be used; empty: it can */
};

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

static bool is_blank(const char *text)
{
    return text[strspn(text, " \t\r\n")] == 0;
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

static void talk_add(struct talk *talk, enum speaker speaker, const char *name, const char *text)
{
    if (is_blank(text)) return;
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

static const json_t *either(const json_t *object, const char *first, const char *second)
{
    const json_t *member = json_object_get(object, first);
    return member ? member : json_object_get(object, second);
}

static enum speaker message_speaker(const json_t *message)
{
    const char *name = json_string_value(either(message, "role", "from"));
    return name ? speaker_of(name) : OTHER;
}

static void messages_add(struct talk *talk, const json_t *messages)
{
    for (size_t i = 0; i < json_array_size(messages); i++) {
        const int64_t before = talk->count;
        const json_t *message = json_array_get(messages, i);
        const char *name = json_string_value(either(message, "role", "from"));
        const json_t *content = either(message, "content", "value");
        const enum speaker speaker = message_speaker(message);
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

/* Text, or a list of messages as conversational data sets have it. */
static void side_add(struct talk *talk, enum speaker speaker, const json_t *side)
{
    if (json_is_array(side))
        messages_add(talk, side);
    else
        content_add(talk, speaker, NULL, side);
}

/* Fields that say what a right answer is (fields.h). */
static const char *const judging_names[] = {"given", "answer", "verify", "reject"};
enum { JUDGING_NAMES = sizeof judging_names / sizeof *judging_names };

/* The first of them that the line has, or slots of a message; NULL: there is none. */
static const char *judging_field(const json_t *line)
{
    for (size_t i = 0; i < JUDGING_NAMES; i++) {
        const json_t *value = json_object_get(line, judging_names[i]);
        if (value && !json_is_null(value)) return judging_names[i];
    }
    const json_t *messages = json_object_get(line, "messages");
    for (size_t i = 0; i < json_array_size(messages); i++) {
        const json_t *slots = json_object_get(json_array_get(messages, i), "slots");
        if (slots && !json_is_null(slots)) return "slots";
    }
    return NULL;
}

static void talk_read(struct talk *talk, const json_t *line)
{
    const json_t *messages = json_object_get(line, "messages");
    if (messages && judging_field(line)) talk->judged = line;
    if (!messages) messages = either(line, "conversations", "conversation");
    if (json_is_array(messages)) {
        const char *system = json_string_value(either(line, "system", "system_prompt"));
        if (system) talk_add(talk, SYSTEM, NULL, system);
        messages_add(talk, messages);
        return;
    }
    if (is_reasoning(line)) {
        snprintf(talk->why, sizeof talk->why,
                 "it has steps, which would be lost; sft, train and eval read such lines as they "
                 "are");
        return;
    }
    const struct foreign_pair *pair = foreign_pair(line);
    side_add(talk, USER, json_object_get(line, pair->prompt));
    const json_t *more = pair->more ? json_object_get(line, pair->more) : NULL;
    if (more) side_add(talk, USER, more);
    side_add(talk, ASSISTANT, json_object_get(line, pair->reply));
}

/* Whether a line of messages begins with the system's. */
static bool has_system(const json_t *line)
{
    const json_t *first = json_array_get(json_object_get(line, "messages"), 0);
    return first && message_speaker(first) == SYSTEM;
}

static void talk_close(struct talk *talk, bool keep_system)
{
    if (!talk->why[0] && talk->count % 2) {
        free(talk->texts[--talk->count]);
        free(talk->names[talk->count]);
        talk->shortened = true;
        if (!talk->unlike) talk->unlike = talk->count + 1 + has_system(talk->judged);
    }
    if (!talk->why[0] && !talk->count)
        snprintf(talk->why, sizeof talk->why, "no user's turn with an answer to it");
    if (!talk->why[0] && talk->judged && talk->unlike)
        snprintf(
            talk->why, sizeof talk->why,
            "it has \"%s\", which is said of messages as they stand, and its message %lld would "
            "be joined to another or left out",
            judging_field(talk->judged), (long long)talk->unlike);
    if (talk->system && talk->count && !keep_system) {
        text_join(&talk->system, talk->texts[0]);
        free(talk->texts[0]);
        talk->texts[0] = talk->system;
        talk->system = NULL;
    }
}

static void value_write(FILE *out, const char *name, const json_t *value)
{
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(17));
    if (text) fprintf(out, "\"%s\":%s", name, text);
    free(text);
}

/* The fields of a judged line; `given` counts our messages, among which the system's may be or not.
 */
static void judging_write(const struct talk *talk, FILE *out)
{
    const int moved = (talk->system != NULL) - has_system(talk->judged);
    for (size_t i = 0; i < JUDGING_NAMES; i++) {
        json_t *value = json_object_get(talk->judged, judging_names[i]);
        if (!value || json_is_null(value)) continue;
        const bool shift = i == 0 && json_integer_value(value) > 0;
        json_t *own = shift ? json_integer(json_integer_value(value) + moved) : json_incref(value);
        value_write(out, judging_names[i], own);
        fputc(',', out);
        json_decref(own);
    }
}

/* slots: NULL, or the message's. */
static void message_write(FILE *out, const char *before, enum dialogue_role role, const char *name,
                          const char *text, const json_t *slots)
{
    fprintf(out, "%s{\"role\":\"%s\"", before, role_name(role));
    if (name) fputs(",\"name\":", out);
    if (name) json_write_text(out, name);
    fputs(",\"content\":", out);
    json_write_text(out, text);
    if (slots && !json_is_null(slots)) {
        fputc(',', out);
        value_write(out, "slots", slots);
    }
    fputc('}', out);
}

static void talk_write(const struct talk *talk, const json_t *id, FILE *out)
{
    fputc('{', out);
    if (json_is_string(id) || json_is_integer(id)) {
        char *text = json_dumps(id, JSON_ENCODE_ANY);
        if (text) fprintf(out, "\"id\":%s,", text);
        free(text);
    }
    if (talk->judged) judging_write(talk, out);
    fputs("\"messages\":[", out);
    const json_t *messages = json_object_get(talk->judged, "messages");
    const size_t first = has_system(talk->judged);
    if (talk->system) message_write(out, "", ROLE_SYSTEM, NULL, talk->system, NULL);
    for (int64_t i = 0; i < talk->count; i++)
        message_write(out, i || talk->system ? "," : "", i % 2 ? ROLE_ASSISTANT : ROLE_USER,
                      talk->names[i], talk->texts[i],
                      json_object_get(json_array_get(messages, (size_t)i + first), "slots"));
    fputs("]}", out);
}

/* Where dialogues go. */
struct importer {
    bool keep_system;
    FILE *out;
    struct import_counts *counts;
};

/* Writes the dialogue, if our reader takes it. */
static status talk_write_checked(const struct talk *talk, const json_t *id, const char *where,
                                 FILE *out)
{
    struct dialogue dialogue;
    char *text;
    size_t size;
    FILE *stream = memory_stream(&text, &size);
    talk_write(talk, id, stream);
    memory_stream_close(stream);
    status s = dialogue_parse(text, size, where, DATASET_TRAIN, &dialogue);
    if (!s) {
        dialogue_clear(&dialogue);
        fprintf(out, "%s\n", text);
    }
    free(text);
    return s;
}

static status dialogue_import(const json_t *line, const char *where,
                              const struct importer *importer)
{
    struct import_counts *counts = importer->counts;
    counts->read++;
    if (!json_is_array(json_object_get(line, "messages")) && !foreign_format(line))
        FAIL(
            STATUS_INPUT,
            "%s: no format that is known: there are messages, conversations (ShareGPT), prompt and "
            "completion, instruction and output, question and answer",
            where);
    struct talk talk = {.count = 0};
    talk_read(&talk, line);
    talk_close(&talk, importer->keep_system);
    status s = talk.why[0]
                   ? ERROR(STATUS_INPUT, "%s: %s", where, talk.why)
                   : talk_write_checked(&talk, json_object_get(line, "id"), where, importer->out);
    if (s) {
        if (!counts->left_out++)
            snprintf(counts->first_left_out, sizeof counts->first_left_out, "%s",
                     status_message(s));
        status_free(s);
    } else {
        counts->written++;
        counts->shortened += talk.shortened;
    }
    for (int64_t i = 0; i < talk.count; i++) {
        free(talk.texts[i]);
        free(talk.names[i]);
    }
    free(talk.texts);
    free(talk.names);
    free(talk.system);
    return NULL;
}

static status list_import(const char *path, const char *text, size_t size,
                          const struct importer *importer)
{
    json_t *list;
    TRY(json_parse_file(text, size, path, 0, &list));
    status s = NULL;
    for (size_t i = 0; !s && i < json_array_size(list); i++) {
        char where[1100];
        snprintf(where, sizeof where, "%s, item %zu", path, i + 1);
        s = dialogue_import(json_array_get(list, i), where, importer);
    }
    json_decref(list);
    return s;
}

static status lines_import(const char *path, const char *text, size_t size,
                           const struct importer *importer)
{
    int64_t number = 0;
    for (size_t begin = 0; begin < size;) {
        const char *newline = memchr(text + begin, '\n', size - begin);
        const size_t end = newline ? (size_t)(newline - text) : size;
        size_t blank = begin;
        char where[1100];
        snprintf(where, sizeof where, "%s:%lld", path, (long long)++number);
        while (blank < end && strchr(" \t\r", text[blank]) && text[blank]) blank++;
        if (blank < end) {
            json_t *line;
            TRY(json_parse(text + begin, end - begin, where, &line));
            status s = dialogue_import(line, where, importer);
            json_decref(line);
            TRY(s);
        }
        begin = end + 1;
    }
    return NULL;
}

status dialogues_import(const char *path, bool keep_system, FILE *out, struct import_counts *counts)
{
    const struct importer importer = {keep_system, out, counts};
    char *text;
    size_t size;
    *counts = (struct import_counts){.read = 0};
    TRY(file_read(path, &text, &size));
    const size_t bom = text_bom(text, size);
    const char *name = file_read_name(path), *first = text + bom + strspn(text + bom, " \t\r\n");
    status s = *first == '[' ? list_import(name, text + bom, size - bom, &importer)
                             : lines_import(name, text + bom, size - bom, &importer);
    free(text);
    if (!s && !counts->written)
        s = ERROR(STATUS_INPUT, "%s: no dialogue in it that can be used%s%s", name,
                  counts->left_out ? "; the first: " : "", counts->first_left_out);
    return s;
}
