/* What a dialogue of the built-in corpus is about, with the corpus's words and templates
 * (scenario_words.c): the generator and the simulated user share it.  All of it was written for
 * this project. */
#ifndef REGARD_DATA_SCENARIO_H
#define REGARD_DATA_SCENARIO_H

#include "src/base/philox.h"
#include "src/data/dialogue.h"

#include <stdbool.h>
#include <stdint.h>

enum slot_kind {
    SLOT_NAME,
    SLOT_ORDER,
    SLOT_PRODUCT,
    SLOT_CITY,
    SLOT_DAY,
    SLOT_AMOUNT,
    SLOT_KINDS,
    SLOT_NONE = -1
};
enum { INTENTS = 7, INTENT_ASKS = 3, TURNS_MAX = 5, CORPUS_TEXT = 640, SLOT_TEXT = 32 };

/* Templates: {name} {order} {product} {city} {day} {amount} stand for slot values, {thing} for the
 * intent's own subject.  Lists end in NULL. */
struct slot_words {
    const char *template;   /* "{name}" */
    const char *cue;        /* a question with this word asks for the slot */
    const char *asks[4];    /* the assistant's question */
    const char *answers[5]; /* the user's answer */
    const char *acknowledgements[3];
};
struct intent {
    enum slot_kind subject;
    const char *thing;
    const char *openings[7]; /* those with {name} give the name too */
    const char *first[3];    /* the assistant's first words */
    enum slot_kind asks[INTENT_ASKS];
    const char *done[3]; /* what is settled, before the clauses */
    const char *clauses[SLOT_KINDS];
};
extern const struct slot_words slot_words[SLOT_KINDS];
extern const struct intent intents[INTENTS];
extern const char *const recap_requests[];
extern const char *const recap_openings[];
extern const char *const recap_endings[];
extern const char *const complaints[];

/* Random draws of one dialogue; the counter counts them. */
struct corpus_random {
    uint64_t seed, index;
    uint32_t purpose, stream, draws;
};
uint32_t corpus_draw(struct corpus_random *random, uint32_t below);
const char *corpus_choose(struct corpus_random *random, const char *const *list);

struct scenario {
    const struct intent *intent;
    char values[SLOT_KINDS][SLOT_TEXT];
    enum slot_kind asks[INTENT_ASKS]; /* in the order of the gold dialogue */
    int ask_count;
    const char *opening;
    bool name_first; /* the opening gives the name */
};
/* Everything about dialogue `index` but its wording. */
void scenario_draw(struct corpus_random *random, struct scenario *out);
/* Appends the template with its slots filled, within CORPUS_TEXT. */
void corpus_fill(char text[CORPUS_TEXT], const char *template, const struct scenario *scenario);
void scenario_draw_value(struct corpus_random *random, enum slot_kind kind, char out[SLOT_TEXT]);
/* Appends a wording of the assistant's reply of a turn; given: the turn that gave each slot, 0:
 * none yet. */
void scenario_reply(struct corpus_random *random, const struct scenario *scenario,
                    const int given[SLOT_KINDS], int turn, char text[CORPUS_TEXT]);
/* A whole dialogue without an id: the scenario from random's stream, the wording from the next. */
void scenario_dialogue(struct corpus_random *random, struct scenario *scenario,
                       int given[SLOT_KINDS], struct dialogue *out);
/* Does the value stand in text as whole words, letter case aside? */
bool corpus_mentions(const char *text, const char *value);

#endif
