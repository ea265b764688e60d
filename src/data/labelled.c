/* See labelled.h. */
#include "src/data/labelled.h"

#include "src/base/data_name.h"
#include "src/base/file.h"
#include "src/base/json.h"
#include "src/base/memory.h"
#include "src/data/fields.h"
#include "src/data/jsonl.h"
#include "src/data/lines.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What is being read: replies in the order of the file. */
struct reader {
    struct labelled *labelled;
    char **messages; /* [histories] as JSON, to find those that are the same, by their hash first */
    uint64_t *hash;
    int64_t reply_count, reply_capacity, history_capacity;
    int64_t labels;        /* replies that have one */
    char unlabelled[1200]; /* the first place without */
};

static struct labelled_reply *reply_add(struct reader *r)
{
    struct labelled *l = r->labelled;
    if (r->reply_count == r->reply_capacity) {
        r->reply_capacity = 2 * r->reply_capacity + 64;
        l->replies = memory_resize(l->replies, (size_t)r->reply_capacity * sizeof *l->replies);
    }
    struct labelled_reply *reply = &l->replies[r->reply_count++];
    *reply = (struct labelled_reply){.ended = true};
    return reply;
}

static uint64_t text_hash(const char *text) /* FNV-1a */
{
    uint64_t hash = 14695981039346656037u;
    for (; *text; text++) hash = (hash ^ (unsigned char)*text) * 1099511628211u;
    return hash;
}

/* The history of a line's messages: one that is there, or a new one. */
static status history_find(struct reader *r, const json_t *line, const char *where, int64_t number,
                           int64_t *out)
{
    struct labelled *l = r->labelled;
    const json_t *messages = json_object_get(line, "messages");
    char *text = messages ? json_dumps(messages, JSON_COMPACT) : NULL;
    if (!text) FAIL(STATUS_INPUT, "%s: no \"messages\" that the reply answers", where);
    const uint64_t hash = text_hash(text);
    int64_t h = l->histories.count - 1;
    while (h >= 0 && (r->hash[h] != hash || strcmp(r->messages[h], text) != 0)) h--;
    if (h >= 0) {
        free(text);
        *out = h;
        return NULL;
    }
    if (l->histories.count == r->history_capacity) {
        r->history_capacity = 2 * r->history_capacity + 64;
        const size_t n = (size_t)r->history_capacity;
        r->messages = memory_resize(r->messages, n * sizeof *r->messages);
        r->hash = memory_resize(r->hash, n * sizeof *r->hash);
        l->histories.dialogues =
            memory_resize(l->histories.dialogues, n * sizeof *l->histories.dialogues);
    }
    h = l->histories.count;
    struct dialogue *dialogue = &l->histories.dialogues[h];
    char *own = json_dumps(line, JSON_COMPACT);
    status s = dialogue_parse(own, strlen(own), where, DATASET_GENERATE, dialogue);
    free(own);
    if (s) {
        free(text);
        return s;
    }
    dialogue->line = number;
    r->messages[h] = text;
    r->hash[h] = hash;
    l->histories.count++;
    *out = h;
    return NULL;
}

static status label_read(struct reader *r, const json_t *object, const char *where,
                         struct labelled_reply *reply)
{
    const char *field = r->labelled->field;
    const json_t *label = json_object_get(object, field);
    if (!label || json_is_null(label)) {
        if (!r->unlabelled[0]) snprintf(r->unlabelled, sizeof r->unlabelled, "%s", where);
        return NULL;
    }
    r->labels++;
    reply->label = json_is_boolean(label) ? json_is_true(label) : json_number_value(label);
    if ((!json_is_number(label) && !json_is_boolean(label)) || !isfinite(reply->label))
        FAIL(STATUS_INPUT, "%s: \"%s\" must be a number, true or false", where, field);
    return NULL;
}

/* Of a record of generate; ids that are none are left out, and the text counts. */
static void tokens_read(const json_t *line, struct labelled_reply *reply)
{
    const json_t *list = json_object_get(line, "reply_tokens"), *id;
    size_t i;
    if (!json_is_array(list)) return;
    reply->count = (int64_t)json_array_size(list);
    reply->tokens = memory_allocate((size_t)reply->count * sizeof *reply->tokens + 4);
    json_array_foreach(list, i, id)
    {
        const json_int_t value = json_integer_value(id);
        reply->tokens[i] =
            json_is_integer(id) && value >= 0 && value <= INT32_MAX ? (int32_t)value : -1;
    }
}

static status reply_read(struct reader *r, const json_t *object, const char *name,
                         const char *where, int64_t history)
{
    const json_t *text = json_object_get(object, name);
    if (!json_is_string(text)) FAIL(STATUS_INPUT, "%s: no text \"%s\"", where, name);
    struct labelled_reply *reply = reply_add(r);
    reply->text = memory_text(json_string_value(text));
    reply->history = history;
    reply->ended = !json_is_false(json_object_get(object, "ended"));
    return label_read(r, object, where, reply);
}

static status line_read(struct reader *r, json_t *line, const char *where, int64_t number)
{
    const json_t *replies = json_object_get(line, "replies"), *one;
    const bool record = json_object_get(line, "reply") != NULL;
    int64_t history = 0;
    size_t i;
    if (!replies && !record)
        FAIL(STATUS_INPUT,
             "%s: no \"reply\" and no \"replies\": --fit %s reads replies that have a number "
             "\"%s\" (regard probe --help); of dialogues a fit is to rouge_l, chrf, slots or "
             "verifier",
             where, r->labelled->field, r->labelled->field);
    /* What a token line has would be read in the messages' place. */
    json_t *words = json_copy(line);
    json_object_del(words, "history_tokens");
    json_object_del(words, "reply_tokens");
    status s = history_find(r, words, where, number, &history);
    json_decref(words);
    TRY(s);
    if (record) {
        TRY(reply_read(r, line, "reply", where, history));
        tokens_read(line, &r->labelled->replies[r->reply_count - 1]);
        return NULL;
    }
    if (!json_array_size(replies))
        FAIL(STATUS_INPUT, "%s: \"replies\" is no list with replies", where);
    json_array_foreach(replies, i, one)
    {
        char place[1200];
        snprintf(place, sizeof place, "%s: reply %zu", where, i + 1);
        TRY(reply_read(r, one, "content", place, history));
    }
    return NULL;
}

static status line_take(void *context, const char *text, size_t size, const char *where,
                        int64_t number)
{
    json_t *line;
    TRY(json_parse(text, size, where, &line));
    status s = json_is_object(line) ? line_read(context, line, where, number)
                                    : ERROR(STATUS_INPUT, "%s: not a JSON object", where);
    json_decref(line);
    return s;
}

static status replies_read(struct reader *r, const char *path)
{
    TRY(lines_read(path, line_take, r));
    const struct labelled *l = r->labelled;
    if (!r->labels)
        FAIL(STATUS_INPUT,
             "%s: no reply has a number \"%s\"; give each reply one, or name the field that is its "
             "label in --fit",
             l->histories.path, l->field);
    if (r->unlabelled[0])
        FAIL(STATUS_INPUT, "%s: no \"%s\"; give the reply a number or leave it out", r->unlabelled,
             l->field);
    return NULL;
}

/* Replies by history, in the file's order within one. */
static void replies_sort(struct reader *r)
{
    struct labelled *l = r->labelled;
    const int64_t histories = l->histories.count;
    struct labelled_reply *sorted = memory_allocate((size_t)r->reply_count * sizeof *sorted);
    int64_t *at = memory_allocate((size_t)(histories + 1) * sizeof *at);
    l->first = memory_allocate((size_t)(histories + 1) * sizeof *l->first);
    for (int64_t i = 0; i < r->reply_count; i++) l->first[l->replies[i].history + 1]++;
    for (int64_t h = 0; h < histories; h++) {
        l->first[h + 1] += l->first[h];
        at[h] = l->first[h];
    }
    for (int64_t i = 0; i < r->reply_count; i++)
        sorted[at[l->replies[i].history]++] = l->replies[i];
    free(at);
    free(l->replies);
    l->replies = sorted;
}

static void dialogues_number(struct labelled *l)
{
    int64_t count = 0;
    l->dialogue = memory_allocate((size_t)l->histories.count * sizeof *l->dialogue);
    for (int64_t h = 0; h < l->histories.count; h++) {
        const char *id = l->histories.dialogues[h].id;
        int64_t same = id ? 0 : h;
        while (same < h && (!l->histories.dialogues[same].id ||
                            strcmp(l->histories.dialogues[same].id, id) != 0))
            same++;
        l->dialogue[h] = same < h ? l->dialogue[same] : count++;
    }
}

status labelled_read(const char *path, const char *field, struct labelled **out)
{
    *out = NULL;
    if (data_is_generated(path))
        FAIL(STATUS_INPUT,
             "--fit %s: %s has no labelled replies; a fit is to rouge_l, chrf, slots or verifier "
             "there",
             field, path);
    if (strlen(field) >= sizeof(*out)->field)
        FAIL(STATUS_INPUT, "--fit %s: a field's name has at most %zu bytes", field,
             sizeof(*out)->field - 1);
    struct reader reader = {.labelled = memory_allocate(sizeof *reader.labelled)};
    struct labelled *l = reader.labelled;
    snprintf(l->field, sizeof l->field, "%s", field);
    snprintf(l->histories.path, sizeof l->histories.path, "%s", file_read_name(path));
    status s = replies_read(&reader, path);
    for (int64_t h = 0; h < l->histories.count; h++) free(reader.messages[h]);
    free(reader.messages);
    free(reader.hash);
    /* Before they are sorted they are as many as were read. */
    if (s) {
        l->first = memory_allocate((size_t)(l->histories.count + 1) * sizeof *l->first);
        l->first[l->histories.count] = reader.reply_count;
        labelled_free(l);
        return s;
    }
    replies_sort(&reader);
    dialogues_number(l);
    *out = l;
    return NULL;
}

void labelled_free(struct labelled *labelled)
{
    if (!labelled) return;
    for (int64_t i = 0; i < labelled->first[labelled->histories.count]; i++) {
        free(labelled->replies[i].text);
        free(labelled->replies[i].tokens);
    }
    for (int64_t h = 0; h < labelled->histories.count; h++)
        dialogue_clear(&labelled->histories.dialogues[h]);
    free(labelled->histories.dialogues);
    free(labelled->replies);
    free(labelled->first);
    free(labelled->dialogue);
    free(labelled);
}
