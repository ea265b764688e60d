#include "src/task/reward_examples.h"

#include "src/base/memory.h"
#include "src/base/philox.h"
#include "src/task/examples.h"
#include "src/task/history_walk.h"

#include <stdlib.h>
#include <string.h>

enum { DRAWS = 64 }; /* after which others are looked for in order */

static void example_free(struct reward_example *one)
{
    free(one->history);
    free(one->cuts);
    free(one->special);
    free(one->right.tokens);
    free(one->wrong.tokens);
}

static status reply_read(const struct history_options *options, const char *text,
                         struct reward_reply *out)
{
    return reply_encode(options, ROLE_ASSISTANT, text, &out->tokens, &out->count);
}

struct pair_reader {
    const struct history_options *options;
    const struct preference *pair;
    struct reward_examples *examples;
};

/* A message_visitor: the whole history. */
static status pair_read(void *context, const struct history *history,
                        const struct dialogue *dialogue, int64_t message)
{
    const struct pair_reader *reader = context;
    struct reward_examples *examples = reader->examples;
    struct encoded_history encoded;
    bool fits;
    if (message < dialogue->message_count) return NULL;
    TRY(history_fits(history, &fits));
    if (!fits) {
        if (!examples->overlong++) examples->overlong_line = dialogue->line;
        return NULL;
    }
    TRY(history_encode(history, &encoded));
    struct reward_example *one = &examples->list[examples->count++];
    *one = (struct reward_example){.history = encoded.ids,
                                   .history_count = encoded.count,
                                   .cuts = encoded.cuts,
                                   .cut_count = encoded.cut_count,
                                   .special = encoded.special,
                                   .service = -1,
                                   .line = dialogue->line};
    encoded.ids = encoded.cuts = NULL;
    encoded.special = NULL;
    encoded_history_free(&encoded);
    TRY(reply_read(reader->options, reader->pair->chosen, &one->right));
    return reply_read(reader->options, reader->pair->rejected, &one->wrong);
}

static void examples_begin(struct reward_examples *out, int64_t capacity)
{
    *out = (struct reward_examples){.longest = INT64_MAX};
    out->list = memory_allocate((size_t)(capacity + 1) * sizeof *out->list);
}

status reward_examples_of_pairs(const struct history_options *options,
                                const struct preferences *preferences, struct reward_examples *out)
{
    struct pair_reader reader = {.options = options, .examples = out};
    examples_begin(out, preferences->count);
    if (!options->tokenizer)
        FAIL(STATUS_INPUT, "%s: preferences need a tokenizer; set tokenizer.path",
             preferences->path);
    for (int64_t i = 0; i < preferences->count; i++) {
        reader.pair = &preferences->list[i];
        TRY(status_context(history_walk(options, &reader.pair->history, pair_read, &reader), "%s",
                           preferences->path));
    }
    return NULL;
}

/* The number of a name among those seen so far. */
static int64_t service_of(char ***names, int64_t *count, char *name)
{
    for (int64_t i = 0; i < *count; i++)
        if (!strcmp((*names)[i], name)) {
            free(name);
            return i;
        }
    *names = memory_resize(*names, (size_t)(*count + 1) * sizeof **names);
    (*names)[*count] = name;
    return (*count)++;
}

/* The examples stand in the order of the data's lines. */
static status services_read(const struct dataset *data, struct reward_examples *out)
{
    char **names = NULL;
    status s = NULL;
    for (int64_t d = 0, e = 0; !s && d < data->count; d++) {
        char *name;
        s = status_context(dialogue_field(&data->dialogues[d], "service", &name), "%s", data->path);
        if (s) break;
        const int64_t service = name ? service_of(&names, &out->services, name) : -1;
        for (; e < out->count && out->list[e].line == data->dialogues[d].line; e++)
            out->list[e].service = service;
    }
    for (int64_t i = 0; i < out->services; i++) free(names[i]);
    free(names);
    return s;
}

/* by_service, anew. */
static void services_sort(struct reward_examples *examples)
{
    int64_t at = 0;
    free(examples->by_service);
    free(examples->service_begin);
    examples->by_service = examples->service_begin = NULL;
    if (!examples->services) return;
    examples->by_service =
        memory_allocate((size_t)(examples->count + 1) * sizeof *examples->by_service);
    examples->service_begin =
        memory_allocate((size_t)(examples->services + 1) * sizeof *examples->service_begin);
    for (int64_t s = 0; s < examples->services; s++) {
        examples->service_begin[s] = at;
        for (int64_t e = 0; e < examples->count; e++)
            if (examples->list[e].service == s) examples->by_service[at++] = e;
    }
    examples->service_begin[examples->services] = at;
}

status reward_examples_of_dialogues(const struct history_options *options,
                                    const struct dataset *data, struct reward_examples *out)
{
    struct example_list turns;
    *out = (struct reward_examples){.longest = INT64_MAX};
    TRY(examples_make(options, data, ROLE_ASSISTANT, &turns));
    examples_begin(out, turns.count);
    for (int64_t i = 0; i < turns.count; i++) {
        struct example *turn = &turns.examples[i];
        out->list[out->count++] = (struct reward_example){.history = turn->history,
                                                          .history_count = turn->history_count,
                                                          .cuts = turn->cuts,
                                                          .cut_count = turn->cut_count,
                                                          .right = {turn->reply, turn->reply_count},
                                                          .dialogue = turn->dialogue,
                                                          .line = turn->line};
    }
    out->overlong = turns.overlong;
    out->overlong_line = turns.overlong_line;
    turns.count = 0; /* what they held is the examples' now */
    examples_free(&turns);
    TRY(services_read(data, out));
    services_sort(out);
    return NULL;
}

/* Those that stay, in their order; the rest is freed. */
static void examples_filter(struct reward_examples *examples, const bool *stays)
{
    int64_t kept = 0;
    for (int64_t i = 0; i < examples->count; i++) {
        if (stays[i])
            examples->list[kept++] = examples->list[i];
        else
            example_free(&examples->list[i]);
    }
    examples->count = kept;
    services_sort(examples);
}

void reward_examples_keep(struct reward_examples *examples, int64_t seed, int64_t n)
{
    if (!n || n >= examples->count) return;
    bool *stays = memory_allocate((size_t)examples->count * sizeof *stays);
    for (int64_t i = 0; i < n; i++) stays[prompt_order(seed, 0, i, examples->count)] = true;
    examples_filter(examples, stays);
    free(stays);
}

static int64_t tokens_of(const struct reward_example *one)
{
    const int64_t wrong = one->wrong.tokens ? one->wrong.count : 0;
    return one->history_count + (one->right.count > wrong ? one->right.count : wrong);
}

int64_t reward_examples_drop_longer(struct reward_examples *examples, int64_t longest,
                                    int64_t *line)
{
    const int64_t before = examples->count;
    bool *stays = memory_allocate((size_t)(before + 1) * sizeof *stays);
    *line = 0;
    examples->longest = longest;
    for (int64_t i = 0; i < before; i++) {
        stays[i] = tokens_of(&examples->list[i]) <= longest;
        if (!stays[i] && !*line) *line = examples->list[i].line;
    }
    examples_filter(examples, stays);
    free(stays);
    return before - examples->count;
}

/* Of another dialogue, and not the same reply. */
static bool is_other(const struct reward_example *to, const struct reward_example *from)
{
    return from->dialogue != to->dialogue &&
           (from->right.count != to->right.count ||
            memcmp(from->right.tokens, to->right.tokens,
                   (size_t)to->right.count * sizeof *to->right.tokens) != 0);
}

static bool other_fits(const struct reward_examples *examples, const struct reward_example *to,
                       const struct reward_example *from)
{
    return is_other(to, from) && to->history_count + from->right.count <= examples->longest;
}

/* The first other one at or behind `at`, in a circle, one that fits if there is one; -1: none. */
static int64_t other_behind(const struct reward_examples *examples, const struct reward_example *to,
                            int64_t at)
{
    int64_t found = -1;
    for (int64_t i = 0; i < examples->count; i++) {
        const int64_t place = (at + i) % examples->count;
        if (other_fits(examples, to, &examples->list[place])) return place;
        if (found < 0 && is_other(to, &examples->list[place])) found = place;
    }
    return found;
}

status reward_examples_check(const struct reward_examples *examples, const char *path)
{
    int64_t other = 0; /* of the one before: most often also of this one */
    for (int64_t i = 0; i < examples->count; i++) {
        const struct reward_example *one = &examples->list[i];
        if (one->wrong.tokens || is_other(one, &examples->list[other])) continue;
        other = other_behind(examples, one, other);
        if (other < 0)
            FAIL(STATUS_INPUT,
                 "%s: rm.objective: on_topic: no other dialogue has another reply than line %lld's "
                 "to hold it against; it needs two dialogues or more, with unlike replies",
                 path, (long long)one->line);
    }
    return NULL;
}

/* Example number `draw` of 2^32, of one service or (-1) of all. */
static int64_t example_drawn(const struct reward_examples *examples, int64_t service, uint32_t draw)
{
    if (service < 0) return (int64_t)((uint64_t)draw * (uint64_t)examples->count >> 32);
    const int64_t begin = examples->service_begin[service];
    const uint64_t count = (uint64_t)(examples->service_begin[service + 1] - begin);
    return examples->by_service[begin + (int64_t)((uint64_t)draw * count >> 32)];
}

struct reward_reply reward_examples_wrong(const struct reward_examples *examples, int64_t seed,
                                          int64_t index, int64_t place, bool held_out)
{
    const struct reward_example *one = &examples->list[index];
    uint32_t key[2];
    int64_t service = -1, drawn = 0;
    if (one->wrong.tokens) return one->wrong;
    philox_key((uint64_t)seed, RANDOM_OTHER_REPLY, key);
    for (uint32_t draw = 0; draw < DRAWS; draw++) {
        const uint32_t counter[4] = {(uint32_t)place, (uint32_t)((uint64_t)place >> 32),
                                     (uint32_t)held_out, draw};
        uint32_t words[4];
        philox4x32(counter, key, words);
        if (draw == 0 && words[0] & 1) service = one->service;
        if (draw == DRAWS / 2) service = -1; /* it may have this dialogue alone */
        drawn = example_drawn(examples, service, words[1]);
        if (other_fits(examples, one, &examples->list[drawn])) return examples->list[drawn].right;
    }
    /* There are few: the next one behind the last draw, as far as it fits. */
    const int64_t other = other_behind(examples, one, drawn);
    struct reward_reply reply = examples->list[other].right;
    if (reply.count > examples->longest - one->history_count)
        reply.count = examples->longest - one->history_count;
    return reply;
}

int reward_examples_order(int64_t seed, int64_t place, bool held_out)
{
    const uint32_t counter[4] = {(uint32_t)place, (uint32_t)((uint64_t)place >> 32),
                                 (uint32_t)held_out, 0};
    uint32_t key[2], words[4];
    philox_key((uint64_t)seed, RANDOM_PAIR_ORDER, key);
    philox4x32(counter, key, words);
    return words[0] & 1 ? -1 : 1;
}

void reward_examples_limits(const struct reward_examples *examples, int64_t *tokens, int64_t *cuts)
{
    int64_t reply = 0;
    for (int64_t i = 0; i < examples->count; i++)
        if (!examples->list[i].wrong.tokens && examples->list[i].right.count > reply)
            reply = examples->list[i].right.count;
    for (int64_t i = 0; i < examples->count; i++) {
        const struct reward_example *one = &examples->list[i];
        int64_t most = tokens_of(one);
        if (!one->wrong.tokens && one->history_count + reply > most)
            most = one->history_count + reply;
        if (most > examples->longest) most = examples->longest;
        if (most > *tokens) *tokens = most;
        if (one->cut_count + 1 > *cuts) *cuts = one->cut_count + 1;
    }
}

void reward_examples_free(struct reward_examples *examples)
{
    for (int64_t i = 0; i < examples->count; i++) example_free(&examples->list[i]);
    free(examples->list);
    free(examples->by_service);
    free(examples->service_begin);
    *examples = (struct reward_examples){0};
}
