/* tokenizer: train a SentencePiece model with its idf table; encode and decode lines of text or of
 * JSON. */
#include "src/base/file.h"
#include "src/base/json.h"
#include "src/base/log.h"
#include "src/base/memory.h"
#include "tools/regard/command.h"

#include <stdlib.h>
#include <string.h>

const char tokenizer_usage[] =
    "regard tokenizer train --data FILE.jsonl --out DIR\n"
    "regard tokenizer encode|decode --model DIR | --spm FILE.model --data FILE --out FILE\n"
    "Lines of text become lines of ids.  Where a file's name ends in .jsonl:\n"
    "  {\"id\":\"a\",\"text\":\"Two\\nlines\"} becomes {\"id\":\"a\",\"ids\":[13058,198,9023]}\n";

/* The names of users, which histories show; how many. */
static int64_t names_add(const struct dataset *data, const char **texts)
{
    int64_t count = 0;
    for (int64_t d = 0; d < data->count; d++)
        for (int64_t m = 0; m < data->dialogues[d].message_count; m++)
            if (data->dialogues[d].messages[m].name)
                texts[count++] = data->dialogues[d].messages[m].name;
    return count;
}

/* How many pieces came of it: a text of few words has no more. */
static status size_tell(const char *folder, const struct config *config)
{
    struct tokenizer *made;
    TRY(tokenizer_open(folder, &made));
    const int64_t pieces = tokenizer_size(made) - config->tokenizer.extra_ids;
    tokenizer_close(made);
    const bool few = pieces < config->tokenizer.vocabulary;
    char asked[96] = "";
    if (few)
        snprintf(asked, sizeof asked,
                 "; tokenizer.vocabulary asks for %lld, and the text has no more",
                 (long long)config->tokenizer.vocabulary);
    log_line(few ? LOG_WARNING : LOG_INFO, "%s: %lld pieces%s", folder, (long long)pieces, asked);
    return NULL;
}

static status train(struct command *command)
{
    const struct config *config = &command->config;
    struct dataset *data;
    TRY(dataset_read(command->data, DATASET_TRAIN, &data));
    int64_t most = 0, count = 0;
    for (int64_t d = 0; d < data->count; d++) most += data->dialogues[d].message_count;
    const char **texts = memory_allocate((size_t)(2 * most + 1) * sizeof *texts);
    for (int64_t d = 0; d < data->count; d++)
        for (int64_t m = 0; m < data->dialogues[d].message_count; m++)
            texts[count++] = data->dialogues[d].messages[m].content;
    count += names_add(data, texts + count);
    const char *const symbols[] = {config->text.user_marker, config->text.assistant_marker};
    struct folder_writer out;
    status s = output_begin(command->out, &out);
    if (!s)
        s = tokenizer_train(texts, count, config->tokenizer.vocabulary, symbols, 2, out.temporary,
                            config->tokenizer.extra_ids);
    struct idf_table *idf = language_count_words(data);
    if (!s) s = idf_save(idf, out.temporary);
    s = output_end(&out, s);
    if (!s) s = size_tell(command->out, config);
    idf_free(idf);
    free(texts);
    dataset_free(data);
    return s;
}

static status line_encode(const struct tokenizer *tokenizer, const char *line, size_t size,
                          FILE *out)
{
    struct token_list ids = {NULL};
    status s = tokenizer_encode(tokenizer, line, size, &ids);
    for (int64_t i = 0; !s && i < ids.count; i++) fprintf(out, "%s%d", i ? " " : "", ids.ids[i]);
    token_list_free(&ids);
    return s;
}

static status line_decode(const struct tokenizer *tokenizer, char *line, size_t size, FILE *out)
{
    int32_t *ids = memory_allocate((size + 1) * sizeof *ids);
    int64_t count = 0;
    status s = NULL;
    line[size] = 0;
    for (char *at = line, *end; !s; at = end) {
        at += strspn(at, " \t\r");
        if (!*at) break;
        const long id = strtol(at, &end, 10);
        if (end == at || id < 0 || id >= tokenizer_size(tokenizer))
            s = ERROR(STATUS_INPUT, "\"%.20s\" is not a token id below %lld", at,
                      (long long)tokenizer_size(tokenizer));
        else
            ids[count++] = (int32_t)id;
    }
    char *text = NULL;
    if (!s) s = tokenizer_decode(tokenizer, ids, count, false, &text);
    if (!s) fputs(text, out);
    free(text);
    free(ids);
    return s;
}

/* One line of JSON: its text or its ids, and of what it is. */
static status json_line(const struct tokenizer *tokenizer, const json_t *line, bool encode,
                        struct token_list *ids, char **text, size_t *text_size)
{
    const json_t *given = json_object_get(line, encode ? "text" : "ids");
    if (encode) {
        if (!json_is_string(given)) FAIL(STATUS_INPUT, "there is no \"text\"");
        return tokenizer_encode(tokenizer, json_string_value(given), json_string_length(given),
                                ids);
    }
    if (!json_is_array(given)) FAIL(STATUS_INPUT, "there is no list \"ids\"");
    for (size_t i = 0; i < json_array_size(given); i++) {
        const json_t *id = json_array_get(given, i);
        if (!json_is_integer(id) || json_integer_value(id) < 0 ||
            json_integer_value(id) >= tokenizer_size(tokenizer))
            FAIL(STATUS_INPUT, "\"ids\", place %zu: not a token id below %lld", i,
                 (long long)tokenizer_size(tokenizer));
        token_list_add(ids, (int32_t)json_integer_value(id), 0, 0);
    }
    return tokenizer_decode_sized(tokenizer, ids->ids, ids->count, false, text, text_size);
}

static status json_line_write(const json_t *id, const struct token_list *ids, const char *text,
                              size_t text_size, FILE *out)
{
    fputc('{', out);
    if (id) {
        fputs("\"id\":", out);
        json_dumpf(id, out, JSON_ENCODE_ANY | JSON_COMPACT);
        fputc(',', out);
    }
    if (text) {
        json_t *value = json_stringn(text, text_size);
        if (!value) FAIL(STATUS_INPUT, "the ids' text is no UTF-8");
        fputs("\"text\":", out);
        json_dumpf(value, out, JSON_ENCODE_ANY);
        json_decref(value);
    } else {
        fputs("\"ids\":", out);
        json_write_integers(out, ids->ids, ids->count);
    }
    fputc('}', out);
    return NULL;
}

static status json_convert(const struct tokenizer *tokenizer, const char *line, size_t size,
                           bool encode, const char *where, FILE *out)
{
    json_t *value;
    struct token_list ids = {NULL};
    char *text = NULL;
    size_t text_size = 0;
    TRY(json_parse_with(line, size, where, JSON_ALLOW_NUL, &value));
    status s =
        status_context(json_line(tokenizer, value, encode, &ids, &text, &text_size), "%s", where);
    if (!s) s = json_line_write(json_object_get(value, "id"), &ids, text, text_size, out);
    json_decref(value);
    token_list_free(&ids);
    free(text);
    return s;
}

static bool is_jsonl(const char *path)
{
    const size_t size = strlen(path);
    return size >= 6 && !strcmp(path + size - 6, ".jsonl");
}

static status convert(struct command *command, bool encode)
{
    struct tokenizer *tokenizer = NULL;
    if (!command->model == !command->spm)
        FAIL(STATUS_USAGE, "tokenizer %s needs --model or --spm; see regard tokenizer --help",
             command->subverb);
    TRY(command->spm ? tokenizer_open_spm(command->spm, &tokenizer)
                     : tokenizer_open(command->model, &tokenizer));
    if (!tokenizer) FAIL(STATUS_INPUT, "%s holds no tokenizer", command->model);
    char *text = NULL;
    size_t size = 0;
    struct file_writer writer = {NULL};
    status s = file_read(command->data, &text, &size);
    if (!s) s = file_begin(&writer, command->out);
    const bool json = is_jsonl(command->data) || is_jsonl(command->out);
    int64_t line = 0;
    for (size_t at = 0; !s && at < size;) {
        char *begin = text + at, *newline = memchr(begin, '\n', size - at);
        const size_t length = newline ? (size_t)(newline - begin) : size - at;
        char where[1100];
        snprintf(where, sizeof where, "%s:%lld", file_read_name(command->data), (long long)++line);
        if (json)
            s = json_convert(tokenizer, begin, length, encode, where, writer.stream);
        else
            s = status_context(encode ? line_encode(tokenizer, begin, length, writer.stream)
                                      : line_decode(tokenizer, begin, length, writer.stream),
                               "%s", where);
        if (!s) fputc('\n', writer.stream);
        at += length + 1;
    }
    if (!s) s = file_commit(&writer);
    file_abandon(&writer);
    free(text);
    tokenizer_close(tokenizer);
    return s;
}

status verb_tokenizer(struct command *command)
{
    const char *what = command->subverb ? command->subverb : "";
    if (!strcmp(what, "train")) return train(command);
    if (!strcmp(what, "encode")) return convert(command, true);
    if (!strcmp(what, "decode")) return convert(command, false);
    FAIL(STATUS_USAGE, "tokenizer wants train, encode or decode; see regard tokenizer --help");
}
