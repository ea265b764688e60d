/* Fields of data lines; see fields.h and struct dialogue. */
#include "src/data/fields.h"

#include "src/base/memory.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const form_names[VERIFY_FORMS] = {"auto", "exact", "slots", "match", "contains"};

bool text_is_blank(const char *text)
{
    return text[strspn(text, " \t\r\n")] == 0;
}

char *text_trimmed(const char *text, size_t size)
{
    while (size && strchr(" \t\r\n", text[0])) text++, size--;
    while (size && strchr(" \t\r\n", text[size - 1])) size--;
    char *copy = memory_allocate(size + 1);
    memcpy(copy, text, size);
    return copy;
}

int64_t dialogue_start(const struct dialogue *dialogue)
{
    int64_t start = dialogue->given;
    while (start < dialogue->message_count &&
           (start == 0 || dialogue->messages[start - 1].role != ROLE_USER))
        start++;
    return start;
}

int64_t dialogue_given_turns(const struct dialogue *dialogue)
{
    const int64_t start = dialogue_start(dialogue);
    int64_t turns = 0;
    for (int64_t m = 0; m + 1 < start; m++) turns += dialogue->messages[m].role == ROLE_USER;
    return turns;
}

/* Text, number, true or false as text; NULL for anything else. */
static char *value_text(const json_t *value)
{
    char number[40];
    if (json_is_string(value)) return memory_text(json_string_value(value));
    if (json_is_boolean(value)) return memory_text(json_is_true(value) ? "true" : "false");
    if (json_is_integer(value)) {
        snprintf(number, sizeof number, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        return memory_text(number);
    }
    if (!json_is_real(value)) return NULL;
    json_double_text(number, json_real_value(value));
    return memory_text(number);
}

status dialogue_field(const struct dialogue *dialogue, const char *name, char **out)
{
    char where[48];
    json_t *line;
    *out = NULL;
    if (!dialogue->json) return NULL;
    snprintf(where, sizeof where, "line %" PRId64, dialogue->line);
    TRY(json_parse(dialogue->json, strlen(dialogue->json), where, &line));
    const json_t *value = json_object_get(line, name);
    status s = NULL;
    if (value && !json_is_null(value)) *out = value_text(value);
    if (value && !json_is_null(value) && !*out)
        s = ERROR(STATUS_INPUT, "%s: \"%s\" is a list or an object; a text or a number is wanted",
                  where, name);
    json_decref(line);
    return s;
}

/* A list of texts that are not blank; *out stays NULL where the line has none. */
static status read_texts(const json_t *line, const char *where, const char *key, char ***out)
{
    const json_t *list = json_object_get(line, key);
    if (!list || json_is_null(list)) return NULL;
    if (!json_is_array(list)) FAIL(STATUS_INPUT, "%s: \"%s\" must be a list of texts", where, key);
    const size_t count = json_array_size(list);
    *out = memory_allocate((count + 1) * sizeof **out);
    for (size_t i = 0; i < count; i++) {
        const char *text = json_string_value(json_array_get(list, i));
        if (!text || text_is_blank(text))
            FAIL(STATUS_INPUT, "%s: \"%s\"[%zu] must be text that is not empty", where, key, i);
        (*out)[i] = memory_text(text);
    }
    return NULL;
}

static status read_answer(const json_t *line, const char *where, struct dialogue *out)
{
    const json_t *answer = json_object_get(line, "answer");
    if (!answer || json_is_null(answer)) return NULL;
    if (!json_is_string(answer) && !json_is_number(answer))
        FAIL(STATUS_INPUT, "%s: \"answer\" must be text or a number", where);
    if (json_is_string(answer) && text_is_blank(json_string_value(answer)))
        FAIL(STATUS_INPUT, "%s: \"answer\" is empty", where);
    if (json_is_real(answer) && fabs(json_real_value(answer)) >= 0x1p53)
        FAIL(STATUS_INPUT,
             "%s: \"answer\" is a number of more digits than are kept; write it as "
             "text",
             where);
    out->answer = value_text(answer);
    return NULL;
}

static bool has_slots(const struct dialogue *dialogue)
{
    for (int64_t m = 0; dialogue->slots && m < dialogue->message_count; m++)
        if (dialogue->slots[m]) return true;
    return false;
}

static status read_verify(const json_t *line, const char *where, struct dialogue *out)
{
    const json_t *verify = json_object_get(line, "verify");
    if (!verify || json_is_null(verify)) return NULL;
    const char *name = json_string_value(verify);
    while (name && out->verify < VERIFY_FORMS && strcmp(name, form_names[out->verify]) != 0)
        out->verify++;
    if (!name || out->verify == VERIFY_FORMS)
        FAIL(STATUS_INPUT, "%s: \"verify\" must be auto, exact, slots, match or contains", where);
    if (out->verify == VERIFY_SLOTS && !has_slots(out))
        FAIL(STATUS_INPUT, "%s: \"verify\" is slots, but no message has \"slots\"", where);
    if (out->verify != VERIFY_AUTO && out->verify != VERIFY_SLOTS && !out->answer)
        FAIL(STATUS_INPUT, "%s: \"verify\" is %s, but there is no \"answer\"", where, name);
    return NULL;
}

static status read_given(const json_t *line, const char *where, struct dialogue *out)
{
    const json_t *given = json_object_get(line, "given");
    if (!given || json_is_null(given)) return NULL;
    out->given = json_integer_value(given);
    if (!json_is_integer(given) || out->given < 0 || out->given >= out->message_count)
        FAIL(STATUS_INPUT,
             "%s: \"given\" must be a whole number of messages from 0 to %" PRId64
             ", one less than there are",
             where, out->message_count - 1);
    return NULL;
}

status fields_read(const json_t *line, const char *where, struct dialogue *out)
{
    TRY(read_given(line, where, out));
    TRY(read_answer(line, where, out));
    TRY(read_texts(line, where, "reject", &out->reject));
    return read_verify(line, where, out);
}

bool is_reasoning(const json_t *line)
{
    return !json_object_get(line, "messages") && json_object_get(line, "question") &&
           json_object_get(line, "steps");
}

/* The steps and "#### answer", a line each. */
static char *worked_reply(const struct dialogue *dialogue)
{
    char *text;
    size_t size;
    FILE *out = memory_stream(&text, &size);
    for (int64_t i = 0; dialogue->steps[i]; i++) fprintf(out, "%s\n", dialogue->steps[i]);
    fprintf(out, "#### %s", dialogue->answer);
    memory_stream_close(out);
    return text;
}

status reasoning_read(const json_t *line, const char *where, enum dataset_need need,
                      struct dialogue *out)
{
    const char *question = json_string_value(json_object_get(line, "question"));
    if (!question || text_is_blank(question))
        FAIL(STATUS_INPUT, "%s: \"question\" must be text that is not empty", where);
    out->question = memory_text(question);
    TRY(read_texts(line, where, "steps", &out->steps));
    if (!out->steps) FAIL(STATUS_INPUT, "%s: \"steps\" must be a list of texts", where);
    out->messages = memory_allocate(2 * sizeof *out->messages);
    out->messages[0] = (struct message){ROLE_USER, memory_text(question), NULL};
    out->message_count = 1;
    TRY(fields_read(line, where, out));
    if (!out->answer)
        FAIL(STATUS_INPUT, "%s: no \"answer\" beside \"question\" and \"steps\"", where);
    if (need != DATASET_GENERATE)
        out->messages[out->message_count++] =
            (struct message){ROLE_ASSISTANT, worked_reply(out), NULL};
    return NULL;
}
