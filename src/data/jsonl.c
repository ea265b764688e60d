/* Dialogues and token lines from JSON, each mistake named with its line; see dialogue.h. */
#include "src/data/jsonl.h"

#include "src/base/cut_turns.h"
#include "src/base/json.h"
#include "src/base/memory.h"
#include "src/data/fields.h"
#include "src/data/foreign_format.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* An id of any JSON type but array and object, kept as JSON text. */
static status read_id(const json_t *line, const char *where, struct dialogue *out)
{
    const json_t *id = json_object_get(line, "id");
    if (!id || json_is_null(id)) return NULL;
    if (!json_is_string(id) && !json_is_number(id))
        FAIL(STATUS_INPUT, "%s: \"id\" must be text or a number", where);
    if (json_is_real(id) && fabs(json_real_value(id)) >= 0x1p63)
        FAIL(STATUS_INPUT, "%s: \"id\" is a number beyond 64 bits; write it as text", where);
    char *text = json_dumps(id, JSON_ENCODE_ANY | JSON_REAL_PRECISION(17));
    out->id = memory_text(text ? text : "null");
    free(text);
    return NULL;
}

static status read_slots(const json_t *message, const char *where, int64_t index,
                         struct dialogue *out)
{
    const json_t *slots = json_object_get(message, "slots");
    if (!slots || json_is_null(slots)) return NULL;
    if (!json_is_array(slots))
        FAIL(STATUS_INPUT, "%s: message %" PRId64 ": \"slots\" must be a list of texts", where,
             index + 1);
    const size_t count = json_array_size(slots);
    if (count == 0) return NULL;
    if (!out->slots) out->slots = memory_allocate((size_t)out->message_count * sizeof *out->slots);
    out->slots[index] = memory_allocate((count + 1) * sizeof **out->slots);
    for (size_t i = 0; i < count; i++) {
        const char *value = json_string_value(json_array_get(slots, i));
        if (!value || text_is_blank(value))
            FAIL(STATUS_INPUT, "%s: message %" PRId64 ": \"slots\" must be a list of texts", where,
                 index + 1);
        out->slots[index][i] = memory_text(value);
    }
    return NULL;
}

/* *role: of message `index`, which follows those that are read. */
static status read_role(const char *name, const char *where, int64_t index,
                        const struct dialogue *out, enum dialogue_role *role)
{
    const bool first = index == 0 || (index == 1 && out->messages[0].role == ROLE_SYSTEM);
    for (*role = 0; *role < ROLE_COUNT && strcmp(name, role_name(*role)) != 0;) ++*role;
    if (*role == ROLE_COUNT)
        FAIL(STATUS_INPUT,
             "%s: message %" PRId64 ": unknown role \"%s\" (there are system, user and assistant)",
             where, index + 1, name);
    if (*role == ROLE_SYSTEM && index > 0)
        FAIL(STATUS_INPUT,
             "%s: message %" PRId64
             " is the system's, which stands before all others; regard import-data joins them",
             where, index + 1);
    if (*role == ROLE_SYSTEM || (first && *role == ROLE_USER)) return NULL;
    if (first) FAIL(STATUS_INPUT, "%s: a dialogue starts with the user, not the assistant", where);
    if (out->messages[index - 1].role == *role)
        FAIL(STATUS_INPUT, "%s: message %" PRId64 ": two %s messages in a row; roles alternate",
             where, index + 1, name);
    return NULL;
}

/* A user's name: shown to the model, so short and of one line. */
static status read_name(const json_t *message, const char *where, int64_t index,
                        struct dialogue *out)
{
    const json_t *value = json_object_get(message, "name");
    const char *name = json_string_value(value);
    int64_t others = 0;
    if (out->messages[index].role != ROLE_USER || !value || json_is_null(value)) return NULL;
    if (!name || !*name || strlen(name) >= SPEAKER_NAME_MAX || strpbrk(name, "\n\r") ||
        strchr(" \t", name[0]) || strchr(" \t", name[strlen(name) - 1]))
        FAIL(STATUS_INPUT,
             "%s: message %" PRId64
             ": \"name\" must be text of one line, 1 to %d bytes without spaces around it",
             where, index + 1, SPEAKER_NAME_MAX - 1);
    for (int64_t i = 0; i < index; i++) {
        const char *before = out->messages[i].name;
        bool seen = !before || !strcmp(before, name);
        for (int64_t j = 0; j < i && !seen; j++)
            seen = out->messages[j].name && !strcmp(before, out->messages[j].name);
        others += !seen;
    }
    if (others >= SPEAKERS_MAX)
        FAIL(STATUS_INPUT, "%s: message %" PRId64 ": more than %d users have names", where,
             index + 1, SPEAKERS_MAX);
    out->messages[index].name = memory_text(name);
    return NULL;
}

static status read_message(const json_t *message, const char *where, int64_t index,
                           struct dialogue *out)
{
    if (!json_is_object(message))
        FAIL(STATUS_INPUT, "%s: message %" PRId64 " is not an object", where, index + 1);
    const json_t *role = json_object_get(message, "role");
    const json_t *content = json_object_get(message, "content");
    if (!role) FAIL(STATUS_INPUT, "%s: message %" PRId64 " has no \"role\"", where, index + 1);
    if (!content)
        FAIL(STATUS_INPUT, "%s: message %" PRId64 " has no \"content\"", where, index + 1);
    if (!json_is_string(role))
        FAIL(STATUS_INPUT, "%s: message %" PRId64 ": \"role\" must be text", where, index + 1);
    if (!json_is_string(content))
        FAIL(STATUS_INPUT, "%s: message %" PRId64 ": \"content\" must be text", where, index + 1);
    enum dialogue_role who;
    TRY(read_role(json_string_value(role), where, index, out, &who));
    if (who != ROLE_SYSTEM && text_is_blank(json_string_value(content)))
        FAIL(STATUS_INPUT, "%s: message %" PRId64 ": \"content\" is empty", where, index + 1);
    out->messages[index].role = who;
    out->messages[index].content = memory_text(json_string_value(content));
    TRY(read_name(message, where, index, out));
    return read_slots(message, where, index, out);
}

static status read_messages(const json_t *messages, const char *where, enum dataset_need need,
                            struct dialogue *out)
{
    if (!json_is_array(messages)) FAIL(STATUS_INPUT, "%s: \"messages\" must be a list", where);
    const int64_t count = (int64_t)json_array_size(messages);
    if (count == 0) FAIL(STATUS_INPUT, "%s: \"messages\" is empty", where);
    out->messages = memory_allocate((size_t)count * sizeof *out->messages);
    out->message_count = count;
    for (int64_t i = 0; i < count; i++)
        TRY(read_message(json_array_get(messages, (size_t)i), where, i, out));
    if (out->messages[count - 1].role == ROLE_SYSTEM)
        FAIL(STATUS_INPUT, "%s: a system message alone is no dialogue", where);
    const bool ends_in_user = out->messages[count - 1].role == ROLE_USER;
    if (need == DATASET_GENERATE && !ends_in_user)
        FAIL(STATUS_INPUT,
             "%s: the last message is the assistant's; a history to answer ends in a user's",
             where);
    if ((need == DATASET_TRAIN || need == DATASET_SCORE) && ends_in_user)
        FAIL(STATUS_INPUT, "%s: the last message is the user's; a dialogue ends in an assistant's",
             where);
    return NULL;
}

static status read_tokens(const json_t *line, const char *where, const char *key, bool may_be_empty,
                          int32_t **out, int64_t *count)
{
    const json_t *list = json_object_get(line, key);
    if (!json_is_array(list))
        FAIL(STATUS_INPUT, "%s: \"%s\" must be a list of token ids", where, key);
    *count = (int64_t)json_array_size(list);
    if (*count == 0 && !may_be_empty) FAIL(STATUS_INPUT, "%s: \"%s\" is empty", where, key);
    *out = memory_allocate(((size_t)*count + 1) * sizeof **out);
    for (int64_t i = 0; i < *count; i++) {
        const json_t *id = json_array_get(list, (size_t)i);
        const json_int_t value = json_integer_value(id);
        if (!json_is_integer(id) || value < 0 || value > INT32_MAX)
            FAIL(STATUS_INPUT, "%s: \"%s\"[%" PRId64 "] is not a token id", where, key, i);
        (*out)[i] = (int32_t)value;
    }
    return NULL;
}

/* The names of a token line and whose each token is. */
static status read_speakers(const json_t *line, const char *where, struct dialogue *out)
{
    const json_t *names = json_object_get(line, "speakers"),
                 *list = json_object_get(line, "speaker");
    if (!names || json_is_null(names)) return NULL;
    const size_t count = json_array_size(names);
    bool fits = count >= 1 && count <= SPEAKERS_MAX;
    for (size_t k = 0; fits && k < count; k++) {
        const char *name = json_string_value(json_array_get(names, k));
        fits = name && *name && strlen(name) < SPEAKER_NAME_MAX;
    }
    if (!fits)
        FAIL(STATUS_INPUT, "%s: \"speakers\" must be a list of 1 to %d names of 1 to %d bytes",
             where, SPEAKERS_MAX, SPEAKER_NAME_MAX - 1);
    fits = (int64_t)json_array_size(list) == out->history_count;
    out->speaker = memory_allocate((size_t)out->history_count + 1);
    for (int64_t i = 0; fits && i < out->history_count; i++) {
        const json_t *number = json_array_get(list, (size_t)i);
        const json_int_t value = json_integer_value(number);
        fits = json_is_integer(number) && value >= 0 && value <= (json_int_t)count;
        out->speaker[i] = (uint8_t)value;
    }
    if (!fits)
        FAIL(STATUS_INPUT,
             "%s: \"speaker\" must list for each of the %" PRId64
             " tokens of \"history_tokens\" the number of its name in \"speakers\", from 1, or 0",
             where, out->history_count);
    out->speakers = memory_allocate((count + 1) * sizeof *out->speakers);
    for (size_t k = 0; k < count; k++)
        out->speakers[k] = memory_text(json_string_value(json_array_get(names, k)));
    return NULL;
}

/* A list of 0 or 1 for each history token; *out stays NULL when the line has none. */
static status read_marks(const json_t *line, const char *where, const char *key, int64_t count,
                         uint8_t **out)
{
    const json_t *list = json_object_get(line, key);
    if (!list || json_is_null(list)) return NULL;
    if (!json_is_array(list) || (int64_t)json_array_size(list) != count)
        FAIL(STATUS_INPUT,
             "%s: \"%s\" must list a 0 or 1 for each of the %" PRId64
             " tokens of \"history_tokens\"",
             where, key, count);
    *out = memory_allocate((size_t)count + 1);
    for (int64_t i = 0; i < count; i++) {
        const json_t *mark = json_array_get(list, (size_t)i);
        const json_int_t value =
            json_is_boolean(mark) ? json_is_true(mark) : json_integer_value(mark);
        if ((!json_is_integer(mark) && !json_is_boolean(mark)) || value < 0 || value > 1)
            FAIL(STATUS_INPUT, "%s: \"%s\"[%" PRId64 "] must be 0 or 1", where, key, i);
        (*out)[i] = (uint8_t)value;
    }
    return NULL;
}

static status read_logp(const json_t *line, const char *where, struct dialogue *out)
{
    const json_t *list = json_object_get(line, "logp");
    if (!json_is_array(list) || (int64_t)json_array_size(list) != out->reply_count)
        FAIL(STATUS_INPUT,
             "%s: \"logp\" must list a number for each of the %" PRId64
             " tokens of \"reply_tokens\"",
             where, out->reply_count);
    out->logp = memory_allocate(((size_t)out->reply_count + 1) * sizeof *out->logp);
    for (int64_t i = 0; i < out->reply_count; i++) {
        const json_t *value = json_array_get(list, (size_t)i);
        out->logp[i] = (float)json_number_value(value);
        if (!json_is_number(value) || !isfinite(out->logp[i]))
            FAIL(STATUS_INPUT, "%s: \"logp\"[%" PRId64 "] is not a finite number", where, i);
        if (out->logp[i] > 0) FAIL(STATUS_INPUT, "%s: \"logp\"[%" PRId64 "] is above 0", where, i);
    }
    return NULL;
}

static status read_update(const json_t *line, const char *where, struct dialogue *out)
{
    TRY(read_logp(line, where, out));
    const json_t *advantage = json_object_get(line, "advantage");
    out->advantage = json_number_value(advantage);
    out->has_advantage = true;
    if (!json_is_number(advantage) || !isfinite((float)out->advantage))
        FAIL(STATUS_INPUT, "%s: \"advantage\" must be a finite number, as a float too", where);
    return NULL;
}

static status read_cuts(const json_t *line, const char *where, struct dialogue *out)
{
    const json_t *list = json_object_get(line, "cuts");
    if (!list || json_is_null(list)) return NULL;
    TRY(read_tokens(line, where, "cuts", true, &out->cuts, &out->cut_count));
    for (int64_t i = 0; i < out->cut_count; i++)
        if (out->cuts[i] <= (i ? out->cuts[i - 1] : 0) || out->cuts[i] >= out->history_count - 1)
            FAIL(STATUS_INPUT,
                 "%s: \"cuts\"[%" PRId64
                 "] must be above the one before it and below the last token of \"history_tokens\"",
                 where, i);
    return NULL;
}

/* {"slots":S,"turns":[[id..]..]}: what the history's first S tokens stand for, in place of cuts. */
static status read_summary(const json_t *line, const char *where, struct dialogue *out)
{
    const json_t *summary = json_object_get(line, "summary");
    if (!summary || json_is_null(summary)) return NULL;
    const json_t *turns = json_object_get(summary, "turns");
    const json_int_t slots = json_integer_value(json_object_get(summary, "slots"));
    const size_t count = json_array_size(turns);
    if (out->cut_count) FAIL(STATUS_INPUT, "%s: a line has \"cuts\" or a \"summary\"", where);
    if (!count || slots < 1 || slots >= out->history_count)
        FAIL(
            STATUS_INPUT,
            "%s: \"summary\" must be {\"slots\":S,\"turns\":[[token ids],..]} with slots below the "
            "history's tokens",
            where);
    int64_t at = CUT_TURNS_HEADER + (int64_t)count;
    free(out->cuts);
    out->cuts = memory_allocate((size_t)at * sizeof *out->cuts);
    out->cuts[0] = CUT_TURNS;
    out->cuts[1] = (int32_t)slots;
    out->cuts[2] = (int32_t)count;
    for (size_t i = 0; i < count; i++) {
        const json_t *turn = json_array_get(turns, i);
        const size_t length = json_array_size(turn);
        out->cuts = memory_resize(out->cuts, ((size_t)at + length) * sizeof *out->cuts);
        out->cuts[CUT_TURNS_HEADER + i] = (int32_t)length;
        for (size_t t = 0; t < length; t++) {
            const json_t *id = json_array_get(turn, t);
            const json_int_t value = json_integer_value(id);
            if (!json_is_integer(id) || value < 0 || value > INT32_MAX)
                FAIL(STATUS_INPUT, "%s: \"summary\": turn %zu's token %zu is no token id", where,
                     i + 1, t + 1);
            out->cuts[at++] = (int32_t)value;
        }
        if (!length) FAIL(STATUS_INPUT, "%s: \"summary\": turn %zu has no tokens", where, i + 1);
    }
    out->cut_count = at;
    return NULL;
}

static status read_token_line(const json_t *line, const char *where, enum dataset_need need,
                              struct dialogue *out)
{
    if (need == DATASET_TRAIN)
        FAIL(STATUS_INPUT, "%s: a token line; training wants \"messages\"", where);
    out->has_tokens = true;
    out->reply_count = -1;
    out->turn = 1;
    TRY(read_tokens(line, where, "history_tokens", false, &out->history_tokens,
                    &out->history_count));
    const bool reply_wanted = need == DATASET_SCORE || need == DATASET_UPDATE;
    if (reply_wanted && !json_object_get(line, "reply_tokens"))
        FAIL(STATUS_INPUT, "%s: no \"reply_tokens\"", where);
    if (reply_wanted)
        TRY(read_tokens(line, where, "reply_tokens", true, &out->reply_tokens, &out->reply_count));
    const json_t *turn = json_object_get(line, "turn");
    if (turn) {
        if (!json_is_integer(turn) || json_integer_value(turn) < 1 ||
            json_integer_value(turn) > INT32_MAX)
            FAIL(STATUS_INPUT, "%s: \"turn\" must be a whole number from 1", where);
        out->turn = json_integer_value(turn);
    }
    TRY(read_marks(line, where, "salient", out->history_count, &out->salient));
    TRY(read_marks(line, where, "visible", out->history_count, &out->visible));
    TRY(read_marks(line, where, "marker", out->history_count, &out->marker));
    TRY(read_speakers(line, where, out));
    TRY(read_cuts(line, where, out));
    TRY(read_summary(line, where, out));
    const json_t *special = json_object_get(line, "special");
    if (special && !json_is_null(special))
        TRY(read_tokens(line, where, "special", true, &out->special, &out->special_count));
    return need == DATASET_UPDATE ? read_update(line, where, out) : NULL;
}

static status read_line(const json_t *line, const char *where, enum dataset_need need,
                        struct dialogue *out)
{
    if (!json_is_object(line)) FAIL(STATUS_INPUT, "%s: not a JSON object", where);
    out->reply_count = -1;
    TRY(read_id(line, where, out));
    if (json_object_get(line, "history_tokens")) return read_token_line(line, where, need, out);
    const json_t *messages = json_object_get(line, "messages");
    if (need == DATASET_UPDATE || (!messages && json_object_get(line, "reply_tokens")))
        FAIL(STATUS_INPUT, "%s: no \"history_tokens\"", where);
    if (is_reasoning(line)) return reasoning_read(line, where, need, out);
    if (foreign_format(line))
        FAIL(STATUS_INPUT,
             "%s: this is %s, not \"messages\"; regard import-data --data FILE --out NEW converts "
             "it",
             where, foreign_format(line));
    if (!messages)
        FAIL(STATUS_INPUT, "%s: no \"messages\"%s", where,
             need == DATASET_TRAIN ? "" : " and no \"history_tokens\"");
    TRY(read_messages(messages, where, need, out));
    return fields_read(line, where, out);
}

status dialogue_parse(const char *text, size_t size, const char *where, enum dataset_need need,
                      struct dialogue *out)
{
    json_t *line;
    memset(out, 0, sizeof *out);
    TRY(json_parse(text, size, where, &line));
    status s = read_line(line, where, need, out);
    if (!s) out->json = text_trimmed(text, size);
    json_decref(line);
    if (s) dialogue_clear(out);
    return s;
}

void message_write(FILE *out, enum dialogue_role role, const char *name, const char *text)
{
    fprintf(out, "\"role\":\"%s\"", role_name(role));
    if (name) fputs(",\"name\":", out);
    if (name) json_write_text(out, name);
    fputs(",\"content\":", out);
    json_write_text(out, text);
}

static void message_and_slots_write(FILE *out, const struct dialogue *dialogue, int64_t index)
{
    const struct message *message = &dialogue->messages[index];
    fputs(index > 0 ? ",{" : "{", out);
    message_write(out, message->role, message->name, message->content);
    char **slots = dialogue->slots ? dialogue->slots[index] : NULL;
    if (slots) {
        fputs(",\"slots\":[", out);
        for (int64_t i = 0; slots[i]; i++) {
            if (i > 0) fputc(',', out);
            json_write_text(out, slots[i]);
        }
        fputc(']', out);
    }
    fputc('}', out);
}

void dialogue_write(FILE *out, const struct dialogue *dialogue)
{
    fputc('{', out);
    if (dialogue->id) fprintf(out, "\"id\":%s,", dialogue->id);
    fputs("\"messages\":[", out);
    for (int64_t i = 0; i < dialogue->message_count; i++) message_and_slots_write(out, dialogue, i);
    fputs("]}", out);
}
