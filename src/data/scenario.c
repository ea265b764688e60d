/* Draws what a dialogue of the built-in corpus is about, and fills its templates. */
#include "src/data/scenario.h"

#include <ctype.h>
#include <stdio.h>
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
    const uint32_t counter[4] = {(uint32_t)random->index, (uint32_t)(random->index >> 32),
                                 random->stream, random->draws++};
    uint32_t key[2], words[4];
    philox_key(random->seed, random->purpose, key);
    philox4x32(counter, key, words);
    return (uint32_t)((uint64_t)words[0] * below >> 32);
}

const char *corpus_choose(struct corpus_random *random, const char *const *list)
{
    uint32_t count = 0;
    while (list[count]) count++;
    return list[corpus_draw(random, count)];
}

void scenario_draw_value(struct corpus_random *random, enum slot_kind kind, char out[SLOT_TEXT])
{
    static const char *const *const lists[SLOT_KINDS] = {
        [SLOT_NAME] = names, [SLOT_PRODUCT] = products, [SLOT_CITY] = cities, [SLOT_DAY] = days};
    if (lists[kind]) {
        snprintf(out, SLOT_TEXT, "%s", corpus_choose(random, lists[kind]));
    } else if (kind == SLOT_AMOUNT) {
        snprintf(out, SLOT_TEXT, "%u", 15 + 5 * corpus_draw(random, 18));
    } else {
        const char letter = order_letters[corpus_draw(random, sizeof order_letters - 1)];
        const uint32_t number = 10 + corpus_draw(random, 90);
        snprintf(out, SLOT_TEXT, "%c%u", letter, number);
    }
}

void scenario_draw(struct corpus_random *random, struct scenario *out)
{
    memset(out, 0, sizeof *out);
    /* in the order that the corpus's seeds have always had */
    static const enum slot_kind drawn[SLOT_KINDS] = {SLOT_NAME, SLOT_PRODUCT, SLOT_CITY,
                                                     SLOT_DAY,  SLOT_AMOUNT,  SLOT_ORDER};
    for (int i = 0; i < SLOT_KINDS; i++)
        scenario_draw_value(random, drawn[i], out->values[drawn[i]]);
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

void scenario_reply(struct corpus_random *random, const struct scenario *scenario,
                    const int given[SLOT_KINDS], int turn, char text[CORPUS_TEXT])
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
