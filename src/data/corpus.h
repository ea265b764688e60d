/* The built-in corpus: customer-support dialogues of 3 to 5 turns from a seed, with intents,
 * slots that later gold replies must carry over, and a rule-based user for it. */
#ifndef REGARD_DATA_CORPUS_H
#define REGARD_DATA_CORPUS_H

#include "src/data/dialogue.h"

/* Dialogue `index` of corpus `seed`; every call gives the same. */
status corpus_dialogue(int64_t seed, int64_t index, struct dialogue *out);
void dialogue_clear(struct dialogue *dialogue);

/* The rule-based user of a synthetic dialogue: what it says after the assistant's reply to
 * turn `turn` (from 1).  It gives the slot that was asked for, complains when it is ignored,
 * and ends: *said NULL.  A pure function of its arguments.  history: all messages so far, the
 * last an assistant's.  The caller frees *said. */
status simulator_reply(const struct dialogue *scenario, const struct message *history,
                       int64_t count, int64_t turn, char **said);
/* Share of a gold reply's slot values (dialogue->slots[message]) that occur in the reply
 * (case-insensitive); -1 when the turn carries none. */
double slot_carry_over(char *const *slots, const char *reply);

#endif
