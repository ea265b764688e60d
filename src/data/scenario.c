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
