/* Whole data sets: JSONL files, and those that are made, by their names. */
#include "src/base/data_name.h"
#include "src/base/file.h"
#include "src/base/memory.h"
#include "src/data/dialogue.h"
#include "src/data/generators.h"
#include "src/data/jsonl.h"
#include "src/data/lines.h"

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
        free(dialogue->messages[i].name);
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
    free(dialogue->speaker);
    texts_free(dialogue->speakers);
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

struct reader {
    struct dataset *dataset;
    enum dataset_need need;
    int64_t capacity;
    bool generated;
};

static status line_take(void *context, const char *text, size_t size, const char *where,
                        int64_t number)
{
    struct reader *reader = context;
    const enum dataset_need need = reader->need;
    struct dialogue *dialogue = dataset_add(reader->dataset, &reader->capacity);
    TRY(dialogue_parse(text, size, where, reader->generated ? DATASET_TRAIN : need, dialogue));
    dialogue->line = number;
    if (reader->generated && need == DATASET_GENERATE) { /* the last reply is to be generated */
        free(dialogue->messages[--dialogue->message_count].content);
        if (dialogue->slots) texts_free(dialogue->slots[dialogue->message_count]);
    }
    return NULL;
}

static status generated_check(const char *path, enum dataset_need need)
{
    struct generated set;
    TRY(generated_parse(path, &set));
    if (set.generator->pairs)
        FAIL(STATUS_INPUT,
             "%s: pairs of replies, which regard reward learns from; dialogues are wanted here",
             path);
    if (need == DATASET_UPDATE)
        FAIL(STATUS_INPUT, "%s: an update wants token lines, which this is not", path);
    return NULL;
}

status dataset_read(const char *path, enum dataset_need need, struct dataset **out)
{
    struct dataset *dataset = memory_allocate(sizeof *dataset);
    struct reader reader = {dataset, need, 0, data_is_generated(path)};
    *out = NULL;
    snprintf(dataset->path, sizeof dataset->path, "%s", file_read_name(path));
    status s = reader.generated ? generated_check(path, need) : NULL;
    if (!s) s = lines_read(path, line_take, &reader);
    if (s)
        dataset_free(dataset);
    else
        *out = dataset;
    return s;
}
