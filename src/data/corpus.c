/* Dialogues of the built-in corpus.  Turn 1 names the user's subject; each further turn answers
 * one question; the last asks for a summary, which must carry every slot. */
#include "src/data/corpus.h"

#include "src/base/memory.h"
#include "src/data/scenario.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

double slot_carry_over(char *const *slots, const char *reply)
{
    int64_t count = 0, found = 0;
    for (; slots && slots[count]; count++) found += corpus_mentions(reply, slots[count]);
    return count > 0 ? (double)found / (double)count : -1;
}

static void add_message(struct dialogue *out, enum dialogue_role role, const char *text)
{
    out->messages[out->message_count].role = role;
    out->messages[out->message_count++].content = memory_text(text);
}

/* Notes the slots of the reply just added that were given before this turn. */
static void note_slots(struct dialogue *out, const struct scenario *scenario,
                       const int given[SLOT_KINDS], int turn)
{
    const int64_t index = out->message_count - 1;
    char **list = memory_allocate((SLOT_KINDS + 1) * sizeof *list);
    int count = 0;
    for (int kind = 0; kind < SLOT_KINDS; kind++)
        if (given[kind] > 0 && given[kind] < turn &&
            corpus_mentions(out->messages[index].content, scenario->values[kind]))
            list[count++] = memory_text(scenario->values[kind]);
    if (count > 0)
        out->slots[index] = list;
    else
        free(list);
}

static void fill_user(char text[CORPUS_TEXT], struct corpus_random *random,
                      const struct scenario *scenario, int turn)
{
    const char *template = scenario->opening;
    if (turn > scenario->ask_count + 1)
        template = corpus_choose(random, recap_requests);
    else if (turn > 1)
        template = corpus_choose(random, slot_words[scenario->asks[turn - 2]].answers);
    corpus_fill(text, template, scenario);
}

void scenario_dialogue(struct corpus_random *random, struct scenario *scenario,
                       int given[SLOT_KINDS], struct dialogue *out)
{
    memset(out, 0, sizeof *out);
    memset(given, 0, SLOT_KINDS * sizeof *given);
    scenario_draw(random, scenario);
    random->stream++;
    random->draws = 0;
    out->reply_count = -1;
    out->messages = memory_allocate(2 * TURNS_MAX * sizeof *out->messages);
    out->slots = memory_allocate(2 * TURNS_MAX * sizeof *out->slots);
    const int turns = scenario->ask_count + 2;
    for (int turn = 1; turn <= turns; turn++) {
        char text[CORPUS_TEXT] = "";
        fill_user(text, random, scenario, turn);
        add_message(out, ROLE_USER, text);
        if (turn == 1) {
            given[scenario->intent->subject] = 1;
            if (scenario->name_first) given[SLOT_NAME] = 1;
        } else if (turn <= scenario->ask_count + 1) {
            given[scenario->asks[turn - 2]] = turn;
        }
        text[0] = 0;
        scenario_reply(random, scenario, given, turn, text);
        add_message(out, ROLE_ASSISTANT, text);
        note_slots(out, scenario, given, turn);
    }
}

status corpus_dialogue(int64_t seed, int64_t index, struct dialogue *out)
{
    struct corpus_random random = {(uint64_t)seed, (uint64_t)index, RANDOM_CORPUS, 0, 0};
    struct scenario scenario;
    int given[SLOT_KINDS];
    char id[80];
    memset(out, 0, sizeof *out);
    if (index < 0) FAIL(STATUS_INPUT, "dialogue %" PRId64 " of the built-in corpus", index);
    scenario_dialogue(&random, &scenario, given, out);
    snprintf(id, sizeof id, "\"synthetic:%" PRId64 ":%" PRId64 "\"", seed, index);
    out->id = memory_text(id);
    return NULL;
}
