/* The built-in corpus: customer-support dialogues of 3 to 5 turns from a seed, with intents,
 * slots that later gold replies must carry over, and a rule-based user for it. */
#ifndef REGARD_DATA_CORPUS_H
#define REGARD_DATA_CORPUS_H

#include "src/data/dialogue.h"

/* Dialogue `index` of corpus `seed`; every call gives the same. */
status corpus_dialogue(int64_t seed, int64_t index, struct dialogue *out);

/* Share of a gold reply's slot values (dialogue->slots[message]) that occur in the reply
 * (case-insensitive); -1 when the turn carries none. */
double slot_carry_over(char *const *slots, const char *reply);

#endif
