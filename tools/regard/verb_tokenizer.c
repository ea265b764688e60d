/* tokenizer: train a SentencePiece model with its idf table; encode and decode lines. */
#include "src/base/file.h"
#include "src/base/memory.h"
#include "tools/regard/command.h"

#include <stdlib.h>
#include <string.h>

const char tokenizer_usage[] =
    "regard tokenizer train --data FILE.jsonl --out DIR\n"
    "regard tokenizer encode|decode --model DIR | --spm FILE.model --data FILE --out FILE\n";

static status train(struct command *command)
{
    const struct config *config = &command->config;
    struct dataset *data;
    TRY(dataset_read(command->data, DATASET_TRAIN, &data));
    int64_t most = 0, count = 0;
    for (int64_t d = 0; d < data->count; d++) most += data->dialogues[d].message_count;
    const char **texts = memory_allocate((size_t)(most + 1) * sizeof *texts);
    for (int64_t d = 0; d < data->count; d++)
        for (int64_t m = 0; m < data->dialogues[d].message_count; m++)
            texts[count++] = data->dialogues[d].messages[m].content;
    const char *const symbols[] = {config->text.user_marker, config->text.assistant_marker};
    struct folder_writer out;
    status s = output_begin(command->out, &out);
    if (!s)
        s = tokenizer_train(texts, count, config->tokenizer.vocabulary, symbols, 2, out.temporary,
                            config->tokenizer.extra_ids);
    struct idf_table *idf = language_count_words(data);
    if (!s) s = idf_save(idf, out.temporary);
    s = output_end(&out, s);
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
    int64_t line = 0;
    for (size_t at = 0; !s && at < size;) {
        char *begin = text + at, *newline = memchr(begin, '\n', size - at);
        const size_t length = newline ? (size_t)(newline - begin) : size - at;
        line++;
        s = encode ? line_encode(tokenizer, begin, length, writer.stream)
                   : line_decode(tokenizer, begin, length, writer.stream);
        if (s) s = status_context(s, "%s:%lld", file_read_name(command->data), (long long)line);
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
