/* Dialogues with several users: the set `speakers`, and names that change places for the control.
 * All sentences were written for this project. */
#include "src/base/memory.h"
#include "src/data/dialogue.h"
#include "src/data/generators.h"
#include "src/data/jsonl.h"
#include "src/data/scenario.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { STREAM_SPEAKERS = 16 }; /* of the corpus's random numbers */

/* {p} the product, {c} the city, {n} whose order is asked for. */
static const char *const orders[] = {"Please send a {p} to {c}.", "I want a {p} in {c}.",
                                     "One {p} for {c}, please.", NULL};
static const char *const noted[] = {"Noted.", "I have noted that.", "All right.", NULL};
static const char *const asked[] = {"What did {n} order?", "Say again what {n} wanted.",
                                    "What is the order of {n}?", NULL};
static const char *const told[] = {"A {p} to {c}.", "That is a {p} for {c}.", NULL};

struct user {
    char name[SLOT_TEXT], product[SLOT_TEXT], city[SLOT_TEXT];
};

static void fill(FILE *out, const char *template, const struct user *user)
{
    for (const char *at = template; *at; at++) {
        if (*at != '{') {
            fputc(*at, out);
            continue;
        }
        fputs(at[1] == 'p' ? user->product : at[1] == 'c' ? user->city : user->name, out);
        at += 2;
    }
}

/* Both differ in everything. */
static void users_draw(struct corpus_random *random, struct user users[2])
{
    scenario_draw_value(random, SLOT_NAME, users[0].name);
    scenario_draw_value(random, SLOT_PRODUCT, users[0].product);
    scenario_draw_value(random, SLOT_CITY, users[0].city);
    do scenario_draw_value(random, SLOT_NAME, users[1].name);
    while (!strcmp(users[0].name, users[1].name));
    do scenario_draw_value(random, SLOT_PRODUCT, users[1].product);
    while (!strcmp(users[0].product, users[1].product));
    do scenario_draw_value(random, SLOT_CITY, users[1].city);
    while (!strcmp(users[0].city, users[1].city));
}

/* A message by `by` (NULL: the assistant) that speaks of `of`. */
static void say(FILE *line, struct corpus_random *random, const struct user *by,
                const char *const *templates, const struct user *of, bool slots)
{
    char *text;
    size_t size;
    FILE *out = memory_stream(&text, &size);
    fill(out, corpus_choose(random, templates), of);
    memory_stream_close(out);
    fputc('{', line);
    message_write(line, by ? ROLE_USER : ROLE_ASSISTANT, by ? by->name : NULL, text);
    if (slots) fprintf(line, ",\"slots\":[\"%s\",\"%s\"]", of->product, of->city);
    fputc('}', line);
    free(text);
}

status task_speakers(int64_t seed, int64_t index, int level, FILE *line)
{
    struct corpus_random random = {(uint64_t)seed, (uint64_t)index, RANDOM_CORPUS, STREAM_SPEAKERS,
                                   0};
    struct user users[2];
    (void)level;
    users_draw(&random, users);
    fprintf(line, "{\"id\":\"speakers:%" PRId64 ":%" PRId64 "\",\"messages\":[", seed, index);
    for (int k = 0; k < 2; k++) {
        say(line, &random, &users[k], orders, &users[k], false);
        fputc(',', line);
        say(line, &random, NULL, noted, &users[k], false);
        fputc(',', line);
    }
    const struct user *by = &users[corpus_draw(&random, 2)], *of = &users[corpus_draw(&random, 2)];
    say(line, &random, by, asked, of, false);
    fputc(',', line);
    say(line, &random, NULL, told, of, true);
    fputs("]}", line);
    return NULL;
}

/* The names of a dialogue by their first words; how many. */
static int names_list(const struct dialogue *dialogue, char *names[SPEAKERS_MAX])
{
    int count = 0;
    for (int64_t m = 0; m < dialogue->message_count; m++) {
        int k = 0;
        if (!dialogue->messages[m].name) continue;
        while (k < count && strcmp(names[k], dialogue->messages[m].name) != 0) k++;
        if (k == count) names[count++] = memory_text(dialogue->messages[m].name);
    }
    return count;
}

bool dataset_has_speakers(const struct dataset *dataset)
{
    for (int64_t d = 0; d < dataset->count; d++) {
        const struct dialogue *dialogue = &dataset->dialogues[d];
        const char *first = NULL;
        for (int64_t m = 0; m < dialogue->message_count; m++) {
            const char *name = dialogue->messages[m].name;
            if (first && name && strcmp(first, name) != 0) return true;
            if (name) first = name;
        }
    }
    return false;
}

/* Fisher-Yates, by the high half of word * left. */
static void places_draw(int64_t seed, int64_t line, int count, int *place)
{
    const uint32_t key[2] = {(uint32_t)seed, RANDOM_NAMES};
    for (int k = 0; k < count; k++) place[k] = k;
    for (int left = count; left > 1; left--) {
        const uint32_t counter[4] = {(uint32_t)line, (uint32_t)((uint64_t)line >> 32), 0,
                                     (uint32_t)left};
        uint32_t words[4];
        philox4x32(counter, key, words);
        const int pick = (int)(((uint64_t)words[0] * (uint64_t)left) >> 32), kept = place[pick];
        place[pick] = place[left - 1];
        place[left - 1] = kept;
    }
}

static bool names_permute(struct dialogue *dialogue, int64_t seed)
{
    char *names[SPEAKERS_MAX];
    int place[SPEAKERS_MAX];
    const int count = names_list(dialogue, names);
    places_draw(seed, dialogue->line, count, place);
    for (int64_t m = 0; m < dialogue->message_count; m++) {
        struct message *message = &dialogue->messages[m];
        int k = 0;
        if (!message->name) continue;
        while (strcmp(names[k], message->name) != 0) k++;
        free(message->name);
        message->name = memory_text(names[place[k]]);
    }
    for (int k = 0; k < count; k++) free(names[k]);
    return count > 1;
}

status dataset_permute_names(struct dataset *dataset, int64_t seed)
{
    int64_t several = 0;
    for (int64_t d = 0; d < dataset->count; d++)
        several += names_permute(&dataset->dialogues[d], seed);
    if (several) return NULL;
    FAIL(STATUS_INPUT,
         "%s: control: permuted_names needs dialogues in which two users have a \"name\"; there is "
         "none",
         dataset->path);
}
