/* The turns that history.summary reads: what was cut off an encoder-decoder's history, as integers
 * that travel with it where a decoder-only model's cuts do (struct model_batch).  They are
 * CUT_TURNS, S, N, the length of each of N turns, then the tokens of all, oldest first.  The first
 * S tokens of the history are slots: what they hold is not read, and their encoder outputs are made
 * of the turns'.  Integers behind these are not theirs. */
#ifndef REGARD_BASE_CUT_TURNS_H
#define REGARD_BASE_CUT_TURNS_H

#include <stdbool.h>
#include <stdint.h>

enum { CUT_TURNS = -1, CUT_TURNS_HEADER = 3 }; /* cuts are never negative */

struct cut_turns {
    int64_t slots, turns, tokens; /* tokens: of all turns */
    const int32_t *length, *token;
};

/* Whether the integers begin with turns; *out is zero where they do not.  Numbers that do not add
 * up are no turns: where words[0] says CUT_TURNS that is an error. */
static inline bool cut_turns_read(const int32_t *words, int64_t count, struct cut_turns *out)
{
    *out = (struct cut_turns){0};
    if (count < CUT_TURNS_HEADER || words[0] != CUT_TURNS || words[1] < 1 || words[2] < 1 ||
        words[2] > count - CUT_TURNS_HEADER)
        return false;
    struct cut_turns turns = {.slots = words[1],
                              .turns = words[2],
                              .length = words + CUT_TURNS_HEADER,
                              .token = words + CUT_TURNS_HEADER + words[2]};
    for (int64_t i = 0; i < turns.turns; i++) {
        if (turns.length[i] < 1) return false;
        turns.tokens += turns.length[i];
    }
    if (turns.tokens > count - CUT_TURNS_HEADER - turns.turns) return false;
    *out = turns;
    return true;
}

#endif
