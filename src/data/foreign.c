/* Other programs' dialogues; see foreign.h. */
#include "src/data/foreign.h"

#include "src/base/file.h"
#include "src/base/memory.h"
#include "src/data/fields.h"
#include "src/data/foreign_format.h"
#include "src/data/foreign_preference.h"
#include "src/data/foreign_talk.h"
#include "src/data/jsonl.h"
#include "src/data/lines.h"

#include <stdlib.h>
#include <string.h>

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
    if (!messages) messages = json_either(line, "conversations", "conversation");
    if (json_is_array(messages)) {
        const char *system = json_string_value(json_either(line, "system", "system_prompt"));
        if (system) talk_add(talk, SYSTEM, NULL, system);
        talk_add_messages(talk, messages);
        return;
    }
    if (is_reasoning(line)) {
        snprintf(talk->why, sizeof talk->why,
                 "it has steps, which would be lost; sft, train and eval read such lines as they "
                 "are");
        return;
    }
    const struct foreign_pair *pair = foreign_pair(line);
    talk_add_side(talk, USER, json_object_get(line, pair->prompt));
    const json_t *more = pair->more ? json_object_get(line, pair->more) : NULL;
    if (more) talk_add_side(talk, USER, more);
    talk_add_side(talk, ASSISTANT, json_object_get(line, pair->reply));
}

static void talk_close(struct talk *talk, bool keep_system)
{
    if (!talk->why[0] && talk->count % 2) {
        free(talk->texts[--talk->count]);
        free(talk->names[talk->count]);
        talk->shortened = true;
        if (!talk->unlike) talk->unlike = talk->count + 1 + talk_has_system(talk->judged);
    }
    if (!talk->why[0] && !talk->count)
        snprintf(talk->why, sizeof talk->why, "no user's turn with an answer to it");
    if (!talk->why[0] && talk->judged && talk->unlike)
        snprintf(
            talk->why, sizeof talk->why,
            "it has \"%s\", which is said of messages as they stand, and its message %lld would "
            "be joined to another or left out",
            judging_field(talk->judged), (long long)talk->unlike);
    if (!keep_system) talk_join_system(talk);
}

/* The fields of a judged line; `given` counts our messages, among which the system's may be or not.
 */
static void judging_write(const struct talk *talk, FILE *out)
{
    const int moved = (talk->system != NULL) - talk_has_system(talk->judged);
    for (size_t i = 0; i < JUDGING_NAMES; i++) {
        json_t *value = json_object_get(talk->judged, judging_names[i]);
        if (!value || json_is_null(value)) continue;
        const bool shift = i == 0 && json_integer_value(value) > 0;
        json_t *own = shift ? json_integer(json_integer_value(value) + moved) : json_incref(value);
        json_write_member(out, judging_names[i], own);
        fputc(',', out);
        json_decref(own);
    }
}

static void talk_write(const struct talk *talk, const json_t *id, FILE *out)
{
    fputc('{', out);
    talk_write_id(id, out);
    if (talk->judged) judging_write(talk, out);
    talk_write_messages(talk, talk->count, out);
    fputc('}', out);
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

static status talk_import(const json_t *line, const char *where, const struct importer *importer,
                          bool *shortened)
{
    struct talk talk = {.count = 0};
    talk_read(&talk, line);
    talk_close(&talk, importer->keep_system);
    *shortened = talk.shortened;
    status s = talk.why[0]
                   ? ERROR(STATUS_INPUT, "%s: %s", where, talk.why)
                   : talk_write_checked(&talk, json_object_get(line, "id"), where, importer->out);
    talk_free(&talk);
    return s;
}

static status line_import(const json_t *line, const char *where, const struct importer *importer)
{
    struct import_counts *counts = importer->counts;
    const bool preference = foreign_is_preference(line);
    bool shortened = false;
    counts->read++;
    if (!preference && !json_is_array(json_object_get(line, "messages")) && !foreign_format(line))
        FAIL(
            STATUS_INPUT,
            "%s: no format that is known: there are messages, conversations (ShareGPT), prompt and "
            "completion, instruction and output, question and answer, and, of preferences, prompt, "
            "chosen and rejected",
            where);
    status s = preference ? preference_import(line, where, importer->keep_system, importer->out,
                                              &shortened)
                          : talk_import(line, where, importer, &shortened);
    if (s) {
        if (!counts->left_out++)
            snprintf(counts->first_left_out, sizeof counts->first_left_out, "%s",
                     status_message(s));
        status_free(s);
    } else {
        counts->written++;
        counts->shortened += shortened;
    }
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
        s = line_import(json_array_get(list, i), where, importer);
    }
    json_decref(list);
    return s;
}

/* A line_function. */
static status line_take(void *context, const char *text, size_t size, const char *where,
                        int64_t number)
{
    json_t *line;
    (void)number;
    TRY(json_parse(text, size, where, &line));
    status s = line_import(line, where, context);
    json_decref(line);
    return s;
}

status dialogues_import(const char *path, bool keep_system, FILE *out, struct import_counts *counts)
{
    struct importer importer = {keep_system, out, counts};
    char *text;
    size_t size;
    *counts = (struct import_counts){.read = 0};
    TRY(file_read(path, &text, &size));
    const size_t bom = text_bom(text, size);
    const char *name = file_read_name(path), *first = text + bom + strspn(text + bom, " \t\r\n");
    status s = text_check_packed(name, text, size);
    if (!s)
        s = *first == '[' ? list_import(name, text + bom, size - bom, &importer)
                          : lines_of_text(name, text, size, line_take, &importer);
    free(text);
    if (!s && !counts->written)
        s = ERROR(STATUS_INPUT, "%s: no dialogue in it that can be used%s%s", name,
                  counts->left_out ? "; the first: " : "", counts->first_left_out);
    return s;
}
