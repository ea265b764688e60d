/* Records of replies, made small: a history once, numbers with four digits; see sample_step.h. */
#include "src/page/sample_step.h"

#include "src/base/file.h"
#include "src/base/json.h"
#include "src/base/memory.h"
#include "src/page/text.h"

#include <stdlib.h>
#include <string.h>

struct step_writer {
    FILE *out;       /* replies */
    FILE *histories; /* likewise, written before them */
    json_t *told;    /* histories that are written: arrays of history_tokens */
    int64_t replies;
};

/* Four digits: what colours and hovering show. */
static void numbers_write(FILE *out, const json_t *array)
{
    size_t i;
    json_t *one;
    fputc('[', out);
    json_array_foreach((json_t *)array, i, one)
    {
        if (i) fputc(',', out);
        if (json_is_array(one))
            numbers_write(out, one);
        else if (json_is_integer(one))
            fprintf(out, "%lld", (long long)json_integer_value(one));
        else if (json_is_real(one))
            fprintf(out, "%.4g", json_real_value(one));
        else
            fputs("null", out);
    }
    fputc(']', out);
}

static void texts_write(FILE *out, const json_t *array)
{
    size_t i;
    json_t *one;
    fputc('[', out);
    json_array_foreach((json_t *)array, i, one)
    {
        if (i) fputc(',', out);
        page_text(out, json_is_string(one) ? json_string_value(one) : "");
    }
    fputc(']', out);
}

/* [0, 1, 1] as "011". */
static void marks_write(FILE *out, const char *name, const json_t *array)
{
    size_t i;
    json_t *one;
    fprintf(out, ",\"%s\":\"", name);
    json_array_foreach((json_t *)array, i, one) fputc(json_integer_value(one) ? '1' : '0', out);
    fputc('"', out);
}

static void messages_write(FILE *out, const json_t *messages)
{
    static const char *const members[] = {"role", "name", "content"};
    size_t i;
    json_t *one;
    fputs("\"messages\":[", out);
    json_array_foreach((json_t *)messages, i, one)
    {
        bool any = false;
        fputs(i ? ",{" : "{", out);
        for (size_t m = 0; m < sizeof members / sizeof *members; m++) {
            const char *text = json_string_value(json_object_get(one, members[m]));
            if (!text) continue;
            fprintf(out, "%s\"%s\":", any ? "," : "", members[m]);
            page_text(out, text);
            any = true;
        }
        fputc('}', out);
    }
    fputc(']', out);
}

/* The number of a record's history, written where it is new. */
static int64_t history_number(struct step_writer *w, const json_t *record)
{
    json_t *tokens = json_object_get(record, "history_tokens"), *told;
    size_t i;
    json_array_foreach(w->told, i, told) if (json_equal(told, tokens)) return (int64_t)i;
    const json_t *pieces = json_object_get(record, "history_pieces");
    json_array_append(w->told, tokens);
    fputs(i ? ",{" : "{", w->histories);
    messages_write(w->histories, json_object_get(record, "messages"));
    if (json_is_array(pieces)) {
        fputs(",\"pieces\":", w->histories);
        texts_write(w->histories, pieces);
    } else { /* of runs before this was recorded */
        fputs(",\"ids\":", w->histories);
        numbers_write(w->histories, tokens);
    }
    marks_write(w->histories, "salient", json_object_get(record, "salient"));
    marks_write(w->histories, "visible", json_object_get(record, "visible"));
    fputc('}', w->histories);
    return (int64_t)i;
}

/* A column with a number a token of the reply, whoever thought it up. */
static bool is_of_tokens(const char *name, const json_t *value, size_t tokens)
{
    static const char *const others[] = {"reply_tokens", "pieces", "history_tokens", "salient",
                                         "visible",      "marker", "speaker"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (!strcmp(name, others[i])) return false;
    return tokens > 0 && json_is_array(value) && json_array_size(value) == tokens &&
           (json_is_number(json_array_get(value, 0)) || json_is_null(json_array_get(value, 0)));
}

static void columns_write(FILE *out, const json_t *record, size_t tokens)
{
    const char *name;
    json_t *value;
    bool any = false;
    fputs(",\"tokens\":{", out);
    json_object_foreach((json_t *)record, name, value)
    {
        const json_t *plain = json_object_get(record, "attention_entropy");
        if (!is_of_tokens(name, value, tokens)) continue;
        if (!strcmp(name, "attention_entropy_floored") && json_equal(plain, value)) continue;
        if (any) fputc(',', out);
        any = true;
        page_text(out, name);
        fputc(':', out);
        numbers_write(out, value);
    }
    fputc('}', out);
}

static void figures_write(FILE *out, const json_t *record)
{
    static const char *const places[] = {"turn", "dialogue", "candidate", "line", "id"};
    const char *name;
    json_t *value;
    bool any = false;
    fputs(",\"figures\":{", out);
    json_object_foreach((json_t *)record, name, value)
    {
        bool place = !json_is_number(value);
        for (size_t i = 0; i < sizeof places / sizeof *places; i++)
            place |= !strcmp(name, places[i]);
        if (place) continue;
        if (any) fputc(',', out);
        any = true;
        page_text(out, name);
        fprintf(out, ":%.5g", json_number_value(value));
    }
    fputc('}', out);
}

static void integer_write(FILE *out, const json_t *record, const char *name)
{
    fprintf(out, ",\"%s\":%lld", name,
            (long long)json_integer_value(json_object_get(record, name)));
}

static void record_write(struct step_writer *w, const json_t *record)
{
    FILE *out = w->out;
    const json_t *pieces = json_object_get(record, "pieces");
    const json_t *ids = json_object_get(record, "reply_tokens");
    const char *text = json_string_value(json_object_get(record, "reply"));
    const int64_t history = history_number(w, record);
    fprintf(out, "%s{\"history\":%lld", w->replies++ ? ",\n" : "", (long long)history);
    integer_write(out, record, "dialogue");
    integer_write(out, record, "turn");
    integer_write(out, record, "candidate");
    fprintf(out, ",\"ended\":%s",
            json_is_true(json_object_get(record, "ended")) ? "true" : "false");
    fputs(",\"text\":", out);
    page_text(out, text ? text : "");
    fputs(",\"pieces\":", out);
    if (json_is_array(pieces))
        texts_write(out, pieces);
    else
        numbers_write(out, ids);
    columns_write(out, record, json_array_size(ids));
    fputs(",\"top\":", out);
    numbers_write(out, json_object_get(record, "top_position"));
    fputs(",\"weight\":", out);
    numbers_write(out, json_object_get(record, "top_weight"));
    figures_write(out, record);
    fputc('}', out);
}

static status record_check(const json_t *record, const char *where)
{
    if (!json_is_array(json_object_get(record, "history_tokens")) ||
        !json_is_array(json_object_get(record, "reply_tokens")))
        FAIL(STATUS_INPUT, "%s: no sample: it has no history_tokens and reply_tokens", where);
    return NULL;
}

static size_t written(struct step_writer *w)
{
    return (size_t)ftello(w->out) + (size_t)ftello(w->histories);
}

static void lines_write(struct step_writer *w, struct run_record *run, const char *name,
                        const char *data, size_t size, size_t bytes, int64_t *dropped)
{
    int64_t number = 0;
    for (size_t begin = 0; begin < size;) {
        const char *newline = memchr(data + begin, '\n', size - begin);
        const size_t length = newline ? (size_t)(newline - data) - begin : size - begin;
        char where[256];
        json_t *record = NULL;
        snprintf(where, sizeof where, "%.200s:%lld", name, (long long)++number);
        if (w->replies && written(w) > bytes) {
            ++*dropped;
        } else {
            status s = json_parse_with(data + begin, length, where, JSON_ALLOW_NUL, &record);
            if (!s) s = record_check(record, where);
            if (!s) record_write(w, record);
            if (s) run_note(run, "%s; left out", status_message(s));
            status_free(s);
        }
        json_decref(record);
        begin += length + 1;
    }
}

status sample_step_write(struct run_record *run, const char *path, int64_t step, size_t bytes,
                         FILE *out, int64_t *dropped)
{
    char *data, *histories = NULL, *replies = NULL;
    size_t size, histories_size = 0, replies_size = 0;
    TRY(file_read(path, &data, &size));
    struct step_writer writer = {.out = memory_stream(&replies, &replies_size),
                                 .histories = memory_stream(&histories, &histories_size),
                                 .told = json_array()};
    const char *name = strrchr(path, '/');
    lines_write(&writer, run, name ? name + 1 : path, data, size, bytes, dropped);
    memory_stream_close(writer.out);
    memory_stream_close(writer.histories);
    if (writer.replies) {
        fprintf(out, "{\"step\":%lld,\"histories\":[", (long long)step);
        fwrite(histories, 1, histories_size, out);
        fputs("],\"replies\":[", out);
        fwrite(replies, 1, replies_size, out);
        fputs("]}", out);
    }
    json_decref(writer.told);
    free(histories);
    free(replies);
    free(data);
    return NULL;
}
