#include "src/data/preferences.h"

#include "src/base/file.h"
#include "src/base/json.h"
#include "src/base/memory.h"
#include "src/data/fields.h"
#include "src/data/foreign_preference.h"
#include "src/data/jsonl.h"
#include "src/data/lines.h"

#include <stdlib.h>
#include <string.h>

struct reader {
    struct preferences *preferences;
    int64_t capacity;
};

static void preference_clear(struct preference *one)
{
    dialogue_clear(&one->history);
    free(one->chosen);
    free(one->rejected);
}

/* The line's messages alone decide what the history is: "prompt" becomes one, and what a token line
 * has is left aside. */
static status history_read(const json_t *line, const char *where, struct dialogue *out)
{
    const json_t *prompt = json_object_get(line, "prompt");
    const bool messages = json_object_get(line, "messages") != NULL;
    if (!prompt == !messages)
        FAIL(STATUS_INPUT, "%s: %s \"prompt\" %s \"messages\"; a preference has one of them", where,
             prompt ? "both" : "neither", prompt ? "and" : "nor");
    if (json_is_array(prompt))
        FAIL(STATUS_INPUT, "%s: \"prompt\" is a list of messages; regard import-data converts it",
             where);
    if (prompt && (!json_is_string(prompt) || text_is_blank(json_string_value(prompt))))
        FAIL(STATUS_INPUT, "%s: \"prompt\" must be text that is not empty", where);
    json_t *words = json_copy((json_t *)line);
    json_object_del(words, "prompt");
    json_object_del(words, "history_tokens");
    json_object_del(words, "reply_tokens");
    if (prompt)
        json_object_set_new(words, "messages",
                            json_pack("[{s:s,s:O}]", "role", "user", "content", prompt));
    char *text = json_dumps(words, JSON_COMPACT);
    json_decref(words);
    status s = dialogue_parse(text, strlen(text), where, DATASET_GENERATE, out);
    free(text);
    return s;
}

static status reply_read(const json_t *line, const char *key, const char *where, char **out)
{
    const json_t *text = json_object_get(line, key);
    if (!text)
        FAIL(STATUS_INPUT,
             "%s: no \"%s\"; a reward model is trained on pairs (\"prompt\" or \"messages\", "
             "\"chosen\", \"rejected\"), which regard pairs makes of a model's replies",
             where, key);
    if (json_is_array(text))
        FAIL(STATUS_INPUT, "%s: \"%s\" is a list of messages; regard import-data converts it",
             where, key);
    if (!json_is_string(text)) FAIL(STATUS_INPUT, "%s: \"%s\" must be text", where, key);
    if (text_is_transcript(json_string_value(text)))
        FAIL(STATUS_INPUT,
             "%s: \"%s\" is a whole conversation (\"Human: ..\"); regard import-data converts it",
             where, key);
    *out = memory_text(json_string_value(text));
    return NULL;
}

static status preference_read(const json_t *line, const char *where, struct preference *out)
{
    if (!json_is_object(line)) FAIL(STATUS_INPUT, "%s: not a JSON object", where);
    TRY(reply_read(line, "chosen", where, &out->chosen));
    TRY(reply_read(line, "rejected", where, &out->rejected));
    return history_read(line, where, &out->history);
}

static status line_take(void *context, const char *text, size_t size, const char *where,
                        int64_t number)
{
    struct reader *reader = context;
    struct preferences *p = reader->preferences;
    struct preference one = {0};
    json_t *line;
    TRY(json_parse(text, size, where, &line));
    status s = preference_read(line, where, &one);
    json_decref(line);
    if (s || strcmp(one.chosen, one.rejected) == 0) {
        preference_clear(&one);
        TRY(s);
        if (!p->same++) p->same_line = number;
        return NULL;
    }
    free(one.history.json);
    one.history.json = text_trimmed(text, size);
    one.history.line = number;
    if (p->count == reader->capacity) {
        reader->capacity = 2 * reader->capacity + 64;
        p->list = memory_resize(p->list, (size_t)reader->capacity * sizeof *p->list);
    }
    p->list[p->count++] = one;
    return NULL;
}

status preferences_read(const char *path, struct preferences **out)
{
    struct reader reader = {.preferences = memory_allocate(sizeof *reader.preferences)};
    struct preferences *p = reader.preferences;
    *out = NULL;
    snprintf(p->path, sizeof p->path, "%s", file_read_name(path));
    status s = lines_read(path, line_take, &reader);
    if (!s && p->count == 0)
        s = ERROR(STATUS_INPUT, "%s: chosen and rejected are the same text in every line", p->path);
    if (s) {
        preferences_free(p);
        return s;
    }
    *out = p;
    return NULL;
}

void preferences_free(struct preferences *preferences)
{
    if (!preferences) return;
    for (int64_t i = 0; i < preferences->count; i++) preference_clear(&preferences->list[i]);
    free(preferences->list);
    free(preferences);
}
