/* See command_lines.h. */
#include "src/source/command_lines.h"

#include "src/base/json.h"
#include "src/base/memory.h"
#include "src/text/unicode.h"

#include <stdlib.h>
#include <string.h>

void command_id(const struct source_reply *reply, char id[COMMAND_ID_MAX])
{
    snprintf(id, COMMAND_ID_MAX, "%lld/%d/%d", (long long)reply->key.dialogue, reply->key.turn,
             reply->key.candidate);
}

/* What is no UTF-8, as generated text and a part of a character may not be, is U+FFFD. */
static void text_write(FILE *out, const char *text)
{
    struct text_buffer valid = {0};
    utf8_append_repaired(&valid, text, strlen(text));
    json_write_text(out, valid.data);
    free(valid.data);
}

void command_request_write(FILE *out, const struct source_reply *reply)
{
    char id[COMMAND_ID_MAX];
    command_id(reply, id);
    fprintf(out, "{\"id\":\"%s\",\"turn\":%d,\"candidate\":%d,\"messages\":[", id, reply->key.turn,
            reply->key.candidate);
    for (int64_t m = 0; m < reply->message_count; m++) {
        fprintf(out, "%s{\"role\":\"%s\"", m ? "," : "", role_name(reply->messages[m].role));
        if (reply->messages[m].name) fputs(",\"name\":", out);
        if (reply->messages[m].name) text_write(out, reply->messages[m].name);
        fputs(",\"content\":", out);
        text_write(out, reply->messages[m].content);
        fputc('}', out);
    }
    fputs("],\"reply\":", out);
    text_write(out, reply->text);
    fputs(",\"pieces\":[", out);
    for (int64_t i = 0; i < reply->count; i++) {
        if (i) fputc(',', out);
        text_write(out, reply->token_text[i]);
    }
    fprintf(out, "],\"line\":%s}\n", reply->line && reply->line->json ? reply->line->json : "null");
}

static status span_read(const json_t *object, struct span *span)
{
    int64_t begin, end;
    static const char where[] = "\"rewards\"";
    if (!json_is_object(object))
        FAIL(STATUS_INPUT, "%s holds something else than {\"begin\",\"end\",\"value\"}", where);
    TRY(json_get_integer(object, where, "begin", &begin));
    TRY(json_get_integer(object, where, "end", &end));
    TRY(json_get_number(object, where, "value", &span->value));
    if (begin < 0 || end < begin || end > INT32_MAX)
        FAIL(STATUS_INPUT, "%s: tokens %lld to %lld are no span", where, (long long)begin,
             (long long)end);
    span->begin = (int32_t)begin;
    span->end = (int32_t)end;
    return NULL;
}

static status spans_read(const json_t *list, struct command_answer *out)
{
    if (!json_is_array(list) || !json_array_size(list))
        FAIL(STATUS_INPUT, "\"rewards\" is not a list of {\"begin\",\"end\",\"value\"}");
    out->span_count = (int64_t)json_array_size(list);
    out->spans = memory_allocate((size_t)out->span_count * sizeof *out->spans);
    status s = NULL;
    for (int64_t i = 0; !s && i < out->span_count; i++)
        s = span_read(json_array_get(list, (size_t)i), &out->spans[i]);
    if (s) free(out->spans);
    if (s) out->spans = NULL;
    return s;
}

static status object_read(const json_t *object, struct command_answer *out)
{
    const char *id;
    if (!json_is_object(object)) FAIL(STATUS_INPUT, "it is not an object");
    TRY(json_get_text(object, "it", "id", &id));
    if (strlen(id) >= sizeof out->id) FAIL(STATUS_INPUT, "that \"id\" was not asked");
    strcpy(out->id, id);
    const json_t *reward = json_object_get(object, "reward");
    const json_t *rewards = json_object_get(object, "rewards");
    if (!reward == !rewards)
        FAIL(STATUS_INPUT, "it has %s",
             reward ? "both \"reward\" and \"rewards\"" : "neither \"reward\" nor \"rewards\"");
    if (rewards) return spans_read(rewards, out);
    return json_get_number(object, "it", "reward", &out->reward);
}

status command_answer_read(const char *line, size_t length, struct command_answer *out)
{
    json_t *object;
    memset(out, 0, sizeof *out);
    TRY(json_parse(line, length, "it", &object));
    status s = object_read(object, out);
    json_decref(object);
    return s;
}
