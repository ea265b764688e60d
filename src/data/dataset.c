/* Whole data sets: JSONL files, and those that are made, by their names. */
#include "src/base/data_name.h"
#include "src/base/file.h"
#include "src/base/memory.h"
#include "src/data/dialogue.h"
#include "src/data/generators.h"
#include "src/data/jsonl.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void texts_free(char **list)
{
    for (int64_t i = 0; list && list[i]; i++) free(list[i]);
    free(list);
}

void dialogue_clear(struct dialogue *dialogue)
{
    for (int64_t i = 0; i < dialogue->message_count; i++) {
        free(dialogue->messages[i].content);
        if (dialogue->slots) texts_free(dialogue->slots[i]);
    }
    free(dialogue->slots);
    texts_free(dialogue->reject);
    texts_free(dialogue->steps);
    free(dialogue->answer);
    free(dialogue->question);
    free(dialogue->json);
    free(dialogue->messages);
    free(dialogue->id);
    free(dialogue->history_tokens);
    free(dialogue->reply_tokens);
    free(dialogue->salient);
    free(dialogue->visible);
    free(dialogue->marker);
    free(dialogue->cuts);
    free(dialogue->special);
    free(dialogue->logp);
    memset(dialogue, 0, sizeof *dialogue);
}

void dataset_keep(struct dataset *dataset, const bool *keep)
{
    int64_t count = 0;
    for (int64_t i = 0; i < dataset->count; i++) {
        if (keep[i])
            dataset->dialogues[count++] = dataset->dialogues[i];
        else
            dialogue_clear(&dataset->dialogues[i]);
    }
    dataset->count = count;
}

void dataset_free(struct dataset *dataset)
{
    if (!dataset) return;
    for (int64_t i = 0; i < dataset->count; i++) dialogue_clear(&dataset->dialogues[i]);
    free(dataset->dialogues);
    free(dataset);
}

static struct dialogue *dataset_add(struct dataset *dataset, int64_t *capacity)
{
    if (dataset->count == *capacity) {
        *capacity = 2 * *capacity + 64;
        dataset->dialogues =
            memory_resize(dataset->dialogues, (size_t)*capacity * sizeof *dataset->dialogues);
    }
    struct dialogue *dialogue = &dataset->dialogues[dataset->count++];
    memset(dialogue, 0, sizeof *dialogue);
    return dialogue;
}

/* Lines end at \n alone; blank lines are skipped, and a byte order mark at the start. */
static status read_lines(struct dataset *dataset, const char *path, const char *text, size_t size,
                         enum dataset_need need)
{
    int64_t capacity = 0, line = 0;
    const size_t first = text_bom(text, size);
    if (text[first + strspn(text + first, " \t\r\n")] == '[')
        FAIL(STATUS_INPUT,
             "%s: a JSON list, not JSON Lines; regard import-data --data FILE --out NEW makes it "
             "lines",
             path);
    for (size_t start = first; start < size;) {
        const char *newline = memchr(text + start, '\n', size - start);
        const size_t end = newline ? (size_t)(newline - text) : size;
        size_t blank = start;
        line++;
        while (blank < end && strchr(" \t\r", text[blank]) && text[blank]) blank++;
        if (blank < end) {
            char where[1100];
            snprintf(where, sizeof where, "%s:%" PRId64, path, line);
            struct dialogue *dialogue = dataset_add(dataset, &capacity);
            TRY(dialogue_parse(text + start, end - start, where, need, dialogue));
            dialogue->line = line;
        }
        start = end + 1;
    }
    if (dataset->count == 0) FAIL(STATUS_INPUT, "%s: no line with data in it", path);
    return NULL;
}

static status read_generated(struct dataset *dataset, const char *path, enum dataset_need need)
{
    struct generated set;
    int64_t capacity = 0;
    TRY(generated_parse(path, &set));
    if (need == DATASET_UPDATE)
        FAIL(STATUS_INPUT, "%s: an update wants token lines, which this is not", path);
    for (int64_t i = 0; i < set.count; i++) {
        struct dialogue *dialogue = dataset_add(dataset, &capacity);
        char *line;
        size_t size;
        FILE *out = memory_stream(&line, &size);
        status s = set.generator->write(set.seed, set.first + i, set.level, out);
        memory_stream_close(out);
        if (!s) s = dialogue_parse(line, size, path, DATASET_TRAIN, dialogue);
        free(line);
        TRY(s);
        dialogue->line = i + 1;
        if (need == DATASET_GENERATE) { /* the last reply is what is to be generated */
            free(dialogue->messages[--dialogue->message_count].content);
            if (dialogue->slots) texts_free(dialogue->slots[dialogue->message_count]);
        }
    }
    return NULL;
}

status dataset_read(const char *path, enum dataset_need need, struct dataset **out)
{
    struct dataset *dataset = memory_allocate(sizeof *dataset);
    status s;
    *out = NULL;
    snprintf(dataset->path, sizeof dataset->path, "%s", file_read_name(path));
    if (data_is_generated(path)) {
        s = read_generated(dataset, path, need);
    } else {
        char *text;
        size_t size;
        s = file_read(path, &text, &size);
        if (!s) {
            s = read_lines(dataset, dataset->path, text, size, need);
            free(text);
        }
    }
    if (s)
        dataset_free(dataset);
    else
        *out = dataset;
    return s;
}

status dataset_write(const struct dataset *dataset, const char *path)
{
    struct file_writer writer;
    TRY(file_begin(&writer, path));
    for (int64_t i = 0; i < dataset->count; i++)
        fprintf(writer.stream, "%s\n", dataset->dialogues[i].json);
    return file_commit(&writer);
}
