/* Training examples from dialogues; see examples.h. */
#include "src/task/examples.h"

#include "src/base/memory.h"
#include "src/task/history_walk.h"

#include <stdlib.h>
#include <string.h>

static status example_make(const struct history *history, const struct history_options *options,
                           enum dialogue_role role, const char *text, struct example_list *list,
                           struct example *out)
{
    struct encoded_history encoded;
    TRY(history_encode(history, &encoded));
    list->pruned += encoded.pruned > 0;
    list->whole += encoded.whole > 0;
    out->history_count = encoded.count;
    out->history = encoded.ids;
    out->cut_count = encoded.cut_count;
    out->cuts = encoded.cuts;
    encoded.ids = encoded.cuts = NULL;
    encoded_history_free(&encoded);
    return reply_encode(options, role, text, &out->reply, &out->reply_count);
}

struct collector {
    const struct history_options *options;
    enum dialogue_role role;
    struct example_list *list;
};

/* A message_visitor. */
static status turn_collect(void *context, const struct history *history,
                           const struct dialogue *dialogue, int64_t message)
{
    const struct collector *collector = context;
    struct example_list *list = collector->list;
    if (!history_turn(history) || message == dialogue->message_count ||
        dialogue->messages[message].role != collector->role)
        return NULL;
    bool fits;
    TRY(history_fits(history, &fits));
    if (!fits) {
        if (!list->overlong++) list->overlong_line = dialogue->line;
        return NULL;
    }
    list->examples[list->count].dialogue = list->dialogues;
    list->examples[list->count].line = dialogue->line;
    return example_make(history, collector->options, collector->role,
                        dialogue->messages[message].content, list, &list->examples[list->count++]);
}

status examples_make(const struct history_options *options, const struct dataset *data,
                     enum dialogue_role role, struct example_list *out)
{
    *out = (struct example_list){0};
    if (!options->tokenizer)
        FAIL(STATUS_INPUT, "%s: dialogues need a tokenizer; set tokenizer.path", data->path);
    int64_t capacity = 1;
    for (int64_t d = 0; d < data->count; d++) capacity += data->dialogues[d].message_count;
    out->examples = memory_allocate((size_t)capacity * sizeof *out->examples);
    struct collector collector = {options, role, out};
    for (int64_t d = 0; d < data->count; d++) {
        const int64_t before = out->count;
        status s = history_walk(options, &data->dialogues[d], turn_collect, &collector);
        out->dialogues += out->count > before;
        if (s) {
            examples_free(out);
            return status_context(s, "%s", data->path);
        }
    }
    return NULL;
}

static void example_free(struct example *example)
{
    free(example->history);
    free(example->cuts);
    free(example->reply);
}

int64_t examples_drop_longer(struct example_list *list, int64_t max, int64_t *line)
{
    int64_t kept = 0, dropped = 0;
    for (int64_t e = 0; e < list->count; e++) {
        struct example *example = &list->examples[e];
        if (example->history_count + example->reply_count - 1 <= max) {
            list->examples[kept++] = *example;
            continue;
        }
        if (!dropped++) *line = example->line;
        example_free(example);
    }
    list->count = kept;
    return dropped;
}

void examples_order(const struct example_list *list, int64_t seed, int64_t epoch, int64_t *order)
{
    int64_t *first = memory_allocate((size_t)(list->dialogues + 1) * sizeof *first);
    int64_t at = 0;
    for (int64_t e = list->count - 1; e >= 0; e--) first[list->examples[e].dialogue] = e;
    for (int64_t d = 0; d < list->dialogues; d++) {
        const int64_t dialogue = prompt_order(seed, epoch, d, list->dialogues);
        for (int64_t e = first[dialogue]; e < list->count && list->examples[e].dialogue == dialogue;
             e++)
            order[at++] = e;
    }
    free(first);
}

void examples_free(struct example_list *list)
{
    for (int64_t i = 0; i < list->count; i++) example_free(&list->examples[i]);
    free(list->examples);
    *list = (struct example_list){0};
}
