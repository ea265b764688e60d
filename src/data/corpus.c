/* Dialogues of the built-in corpus.  Turn 1 names the user's subject; each further turn answers
 * one question; the last asks for a summary, which must carry every slot. */
#include "src/data/corpus.h"

#include "src/base/memory.h"
#include "src/data/corpus_parts.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[] = {
    "Anna",  "Bruno", "Carla", "David",  "Elena", "Felix", "Greta", "Hugo",   "Irene", "Jonas",
    "Karin", "Lukas", "Maria", "Nils",   "Olga",  "Peter", "Rosa",  "Simon",  "Tanja", "Viktor",
    "Wendy", "Yusuf", "Zoe",   "Martin", "Laura", "Oscar", "Paula", "Stefan", NULL};
static const char *const products[] = {
    "jacket",  "kettle", "lamp",  "camera", "phone",   "sofa",     "bicycle", "tent",  "radio",
    "printer", "carpet", "mixer", "watch",  "helmet",  "guitar",   "mirror",  "drill", "heater",
    "tablet",  "coat",   "desk",  "fridge", "toaster", "backpack", NULL};
static const char *const cities[] = {"Berlin", "Madrid",  "Oslo",   "Paris",  "Rome",   "Vienna",
                                     "Lisbon", "Dublin",  "Prague", "Warsaw", "Athens", "Zurich",
                                     "London", "Milan",   "Krakow", "Porto",  "Geneva", "Bergen",
                                     "Turin",  "Seville", NULL};
static const char *const days[] = {"Monday", "Tuesday",  "Wednesday", "Thursday",
                                   "Friday", "Saturday", "Sunday",    NULL};
static const char order_letters[] = "ABCDEFHK";

uint32_t corpus_draw(struct corpus_random *random, uint32_t below)
{
    const uint32_t key[2] = {(uint32_t)random->seed,
                             (uint32_t)(random->seed >> 32) * 64u + random->purpose};
    const uint32_t counter[4] = {(uint32_t)random->index, (uint32_t)(random->index >> 32),
                                 random->stream, random->draws++};
    uint32_t words[4];
    philox4x32(counter, key, words);
    return (uint32_t)((uint64_t)words[0] * below >> 32);
}

const char *corpus_choose(struct corpus_random *random, const char *const *list)
{
    uint32_t count = 0;
    while (list[count]) count++;
    return list[corpus_draw(random, count)];
}

static void draw_values(struct corpus_random *random, struct scenario *out)
{
    enum { SIZE = sizeof out->values[0] };
    snprintf(out->values[SLOT_NAME], SIZE, "%s", corpus_choose(random, names));
    snprintf(out->values[SLOT_PRODUCT], SIZE, "%s", corpus_choose(random, products));
    snprintf(out->values[SLOT_CITY], SIZE, "%s", corpus_choose(random, cities));
    snprintf(out->values[SLOT_DAY], SIZE, "%s", corpus_choose(random, days));
    snprintf(out->values[SLOT_AMOUNT], SIZE, "%u", 15 + 5 * corpus_draw(random, 18));
    const char letter = order_letters[corpus_draw(random, sizeof order_letters - 1)];
    const uint32_t number = 10 + corpus_draw(random, 90);
    snprintf(out->values[SLOT_ORDER], SIZE, "%c%u", letter, number);
}

void scenario_draw(struct corpus_random *random, struct scenario *out)
{
    memset(out, 0, sizeof *out);
    draw_values(random, out);
    out->intent = &intents[corpus_draw(random, INTENTS)];
    out->opening = corpus_choose(random, out->intent->openings);
    out->name_first = out->intent->subject != SLOT_NAME && strstr(out->opening, "{name}") != NULL;
    const uint32_t mask = 1 + corpus_draw(random, (1u << INTENT_ASKS) - 1);
    for (int i = 0; i < INTENT_ASKS; i++) {
        const enum slot_kind kind = out->intent->asks[i];
        if (kind == SLOT_NAME && out->name_first) continue;
        if (mask >> i & 1) out->asks[out->ask_count++] = kind;
    }
    if (out->ask_count == 0) { /* only the name was drawn, and it is known */
        int i = 0;
        while (out->intent->asks[i] == SLOT_NAME) i++;
        out->asks[out->ask_count++] = out->intent->asks[i];
    }
}

void corpus_fill(char text[CORPUS_TEXT], const char *template, const struct scenario *scenario)
{
    size_t used = strlen(text);
    for (const char *at = template; *at && used + 1 < CORPUS_TEXT;) {
        enum slot_kind kind = SLOT_NAME;
        if (strncmp(at, "{thing}", 7) == 0) {
            corpus_fill(text, scenario->intent->thing, scenario);
            used = strlen(text);
            at += 7;
            continue;
        }
        while (kind < SLOT_KINDS &&
               strncmp(at, slot_words[kind].template, strlen(slot_words[kind].template)) != 0)
            kind++;
        if (kind < SLOT_KINDS) {
            snprintf(text + used, CORPUS_TEXT - used, "%s", scenario->values[kind]);
            used = strlen(text);
            at += strlen(slot_words[kind].template);
        } else {
            text[used++] = *at++;
            text[used] = 0;
        }
    }
}

bool corpus_mentions(const char *text, const char *value)
{
    const size_t length = strlen(value);
    if (length == 0) return false;
    for (const char *at = text; (at = strcasestr(at, value)); at++) {
        const bool starts = at == text || !isalnum((unsigned char)at[-1]);
        if (starts && !isalnum((unsigned char)at[length])) return true;
    }
    return false;
}

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

static void fill_outcome(char text[CORPUS_TEXT], struct corpus_random *random,
                         const struct scenario *scenario, const int given[SLOT_KINDS])
{
    const struct intent *intent = scenario->intent;
    corpus_fill(text, corpus_choose(random, intent->done), scenario);
    for (int i = 0; i < INTENT_ASKS; i++) {
        const enum slot_kind kind = intent->asks[i];
        if (given[kind] > 0 && intent->clauses[kind])
            corpus_fill(text, intent->clauses[kind], scenario);
    }
    corpus_fill(text, ".", scenario);
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

static void fill_reply(char text[CORPUS_TEXT], struct corpus_random *random,
                       const struct scenario *scenario, const int given[SLOT_KINDS], int turn)
{
    if (turn > scenario->ask_count + 1) {
        corpus_fill(text, corpus_choose(random, recap_openings), scenario);
        corpus_fill(text, " ", scenario);
        fill_outcome(text, random, scenario, given);
        corpus_fill(text, " ", scenario);
        corpus_fill(text, corpus_choose(random, recap_endings), scenario);
        return;
    }
    if (turn == 1) {
        corpus_fill(text, corpus_choose(random, scenario->intent->first), scenario);
    } else {
        const enum slot_kind answered = scenario->asks[turn - 2];
        corpus_fill(text, corpus_choose(random, slot_words[answered].acknowledgements), scenario);
    }
    corpus_fill(text, " ", scenario);
    if (turn <= scenario->ask_count)
        corpus_fill(text, corpus_choose(random, slot_words[scenario->asks[turn - 1]].asks),
                    scenario);
    else
        fill_outcome(text, random, scenario, given);
}

status corpus_dialogue(int64_t seed, int64_t index, struct dialogue *out)
{
    struct corpus_random random = {(uint64_t)seed, (uint64_t)index, RANDOM_CORPUS, 0, 0};
    struct scenario scenario;
    int given[SLOT_KINDS] = {0}; /* the turn that gave a slot, 0: none */
    char id[80];
    memset(out, 0, sizeof *out);
    if (index < 0) FAIL(STATUS_INPUT, "dialogue %" PRId64 " of the built-in corpus", index);
    scenario_draw(&random, &scenario);
    random.stream = 1;
    random.draws = 0;
    snprintf(id, sizeof id, "\"synthetic:%" PRId64 ":%" PRId64 "\"", seed, index);
    out->id = memory_text(id);
    out->reply_count = -1;
    out->messages = memory_allocate(2 * TURNS_MAX * sizeof *out->messages);
    out->slots = memory_allocate(2 * TURNS_MAX * sizeof *out->slots);
    const int turns = scenario.ask_count + 2;
    for (int turn = 1; turn <= turns; turn++) {
        char text[CORPUS_TEXT] = "";
        fill_user(text, &random, &scenario, turn);
        add_message(out, ROLE_USER, text);
        if (turn == 1) {
            given[scenario.intent->subject] = 1;
            if (scenario.name_first) given[SLOT_NAME] = 1;
        } else if (turn <= scenario.ask_count + 1) {
            given[scenario.asks[turn - 2]] = turn;
        }
        text[0] = 0;
        fill_reply(text, &random, &scenario, given, turn);
        add_message(out, ROLE_ASSISTANT, text);
        note_slots(out, &scenario, given, turn);
    }
    return NULL;
}
