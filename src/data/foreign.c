/* Other programs' dialogues; see foreign.h. */
#include "src/data/foreign.h"

#include "src/base/file.h"
#include "src/base/memory.h"
#include "src/data/fields.h"
#include "src/text/role.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Pairs of a prompt and its answer, by the names of their keys; `more` goes below the prompt. */
static const struct pair {
    const char *format, *prompt, *more, *reply;
} pairs[] = {
    {"prompt and completion", "prompt", NULL, "completion"},
    {"prompt and response", "prompt", NULL, "response"},
    {"instruction and output (Alpaca)", "instruction", "input", "output"},
    {"instruction and response (Dolly)", "instruction", "context", "response"},
    {"question and answer", "question", NULL, "answer"},
};

static const struct pair *pair_of(const json_t *line)
{
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        if (json_object_get(line, pairs[i].prompt) && json_object_get(line, pairs[i].reply))
            return &pairs[i];
    return NULL;
}

const char *foreign_format(const json_t *line)
{
    if (!json_is_object(line) || json_object_get(line, "messages")) return NULL;
    if (json_is_array(json_object_get(line, "conversations"))) return "ShareGPT (conversations)";
    if (json_is_array(json_object_get(line, "conversation"))) return "ShareGPT (conversation)";
    const struct pair *pair = pair_of(line);
    return pair ? pair->format : NULL;
}

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
    int64_t count;
    char *system;
    bool shortened;
    char why[256]; /* it cannot be used; empty: it can */
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

static void talk_add(struct talk *talk, enum speaker speaker, const char *text)
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
        talk->texts[talk->count++] = NULL;
    }
    text_join(&talk->texts[talk->count - 1], text);
}

/* Text, or a list of parts that are {"type":"text","text":...}. */
static void content_add(struct talk *talk, enum speaker speaker, const json_t *content)
{
    if (json_is_string(content)) {
        talk_add(talk, speaker, json_string_value(content));
        return;
    }
    if (json_is_null(content)) return;
    for (size_t i = 0; i < json_array_size(content); i++) {
        const char *text = json_string_value(json_object_get(json_array_get(content, i), "text"));
        if (!text)
            snprintf(talk->why, sizeof talk->why, "a message has a part that is no text");
        else
            talk_add(talk, speaker, text);
    }
    if (!json_is_array(content))
        snprintf(talk->why, sizeof talk->why, "a message is neither text nor a list of parts");
}

static const json_t *either(const json_t *object, const char *first, const char *second)
{
    const json_t *member = json_object_get(object, first);
    return member ? member : json_object_get(object, second);
}

static void messages_add(struct talk *talk, const json_t *messages)
{
    for (size_t i = 0; i < json_array_size(messages); i++) {
        const json_t *message = json_array_get(messages, i);
        const char *name = json_string_value(either(message, "role", "from"));
        const json_t *content = either(message, "content", "value");
        const enum speaker speaker = name ? speaker_of(name) : OTHER;
        if (speaker == OTHER)
            snprintf(talk->why, sizeof talk->why, "message %zu is by \"%.60s\"", i + 1,
                     name ? name : "nobody");
        else if (!content)
            snprintf(talk->why, sizeof talk->why, "message %zu has no content", i + 1);
        else
            content_add(talk, speaker, content);
    }
}

/* Text, or a list of messages as conversational data sets have it. */
static void side_add(struct talk *talk, enum speaker speaker, const json_t *side)
{
    if (json_is_array(side))
        messages_add(talk, side);
    else
        content_add(talk, speaker, side);
}

/* A field that says what a right answer is (fields.h), which a line of messages alone would lose;
 * NULL: there is none. */
static const char *judging_field(const json_t *line)
{
    static const char *const names[] = {"answer", "verify", "reject", "given"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const json_t *value = json_object_get(line, names[i]);
        if (value && !json_is_null(value)) return names[i];
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
    const char *field = messages ? judging_field(line) : NULL;
    if (field) {
        snprintf(talk->why, sizeof talk->why,
                 "it has \"%s\", which would be lost; sft, train and eval read such lines as they "
                 "are",
                 field);
        return;
    }
    if (!messages) messages = either(line, "conversations", "conversation");
    if (json_is_array(messages)) {
        const char *system = json_string_value(either(line, "system", "system_prompt"));
        if (system) talk_add(talk, SYSTEM, system);
        messages_add(talk, messages);
        return;
    }
    if (is_reasoning(line)) {
        snprintf(talk->why, sizeof talk->why,
                 "it has steps, which would be lost; sft, train and eval read such lines as they "
                 "are");
        return;
    }
    const struct pair *pair = pair_of(line);
    side_add(talk, USER, json_object_get(line, pair->prompt));
    const json_t *more = pair->more ? json_object_get(line, pair->more) : NULL;
    if (more) side_add(talk, USER, more);
    side_add(talk, ASSISTANT, json_object_get(line, pair->reply));
}

static void talk_close(struct talk *talk, bool keep_system)
{
    if (!talk->why[0] && talk->count % 2) {
        free(talk->texts[--talk->count]);
        talk->shortened = true;
    }
    if (!talk->why[0] && !talk->count)
        snprintf(talk->why, sizeof talk->why, "no user's turn with an answer to it");
    if (talk->system && talk->count && !keep_system) {
        text_join(&talk->system, talk->texts[0]);
        free(talk->texts[0]);
        talk->texts[0] = talk->system;
        talk->system = NULL;
    }
}

static void message_write(FILE *out, const char *before, enum dialogue_role role, const char *text)
{
    fprintf(out, "%s{\"role\":\"%s\",\"content\":", before, role_name(role));
    json_write_text(out, text);
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
    fputs("\"messages\":[", out);
    if (talk->system) message_write(out, "", ROLE_SYSTEM, talk->system);
    for (int64_t i = 0; i < talk->count; i++)
        message_write(out, i || talk->system ? "," : "", i % 2 ? ROLE_ASSISTANT : ROLE_USER,
                      talk->texts[i]);
    fputs("]}\n", out);
}

/* Where dialogues go. */
struct importer {
    bool keep_system;
    FILE *out;
    struct import_counts *counts;
};

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
    if (talk.why[0]) {
        if (!counts->left_out++)
            snprintf(counts->first_left_out, sizeof counts->first_left_out, "%s: %s", where,
                     talk.why);
    } else {
        talk_write(&talk, json_object_get(line, "id"), importer->out);
        counts->written++;
        counts->shortened += talk.shortened;
    }
    for (int64_t i = 0; i < talk.count; i++) free(talk.texts[i]);
    free(talk.texts);
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
