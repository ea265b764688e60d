/* The rule-based user of the built-in corpus's dialogues. */
#ifndef REGARD_DATA_SIMULATOR_H
#define REGARD_DATA_SIMULATOR_H

#include "src/data/dialogue.h"

/* What the user of a synthetic dialogue says after the assistant's reply to
 * turn `turn` (from 1).  It gives the slot that was asked for, complains when it is ignored,
 * and ends: *said NULL.  A pure function of its arguments.  history: all messages so far, the
 * last an assistant's.  The caller frees *said. */
status simulator_reply(const struct dialogue *scenario, const struct message *history,
                       int64_t count, int64_t turn, char **said);
#endif
