/* The sample record: one reply with its conversation, tokens, numbers and terms, a JSON line.  It
 * is what training's samples/, score, generate and eval --samples write, and since it holds a token
 * line (history_tokens, salient, visible, turn, reply_tokens), score reads it back. */
#ifndef REGARD_EVALUATE_SAMPLE_H
#define REGARD_EVALUATE_SAMPLE_H

#include "src/reward/running.h"
#include "src/rollout/experience.h"
#include "src/rollout/prompt.h"
#include "src/rollout/reply.h"
#include "src/text/tokenizer.h"

#include <stdio.h>

/* All pointers are the caller's. */
struct sample {
    /* Where it comes from; what is NULL or negative is left out. */
    const char *id; /* JSON text */
    int64_t line, dialogue;
    int32_t turn, candidate; /* turn from 1 */
    /* Texts need a tokenizer: without one the record has ids alone. */
    const struct tokenizer *tokenizer;
    const char *gold; /* the reply of the data, or NULL */
    int64_t history_count, reply_count;
    const int32_t *history;
    const uint8_t *salient, *visible, *turn_of, *part; /* [history_count], see prompt.h */
    const uint8_t *speaker;                            /* likewise; NULL: nobody has a name */
    const char (*names)[SPEAKER_NAME_MAX];             /* [SPEAKERS_MAX] */
    const int32_t *cuts;                               /* [cut_count] */
    int64_t cut_count;
    const int32_t *reply;
    const float *logp, *token_entropy; /* [reply_count] */
    const float *credit, *ratio;       /* [reply_count] of struct experience_turn; NULL */
    bool ended, interrupted;
    const struct statistics *statistics;
    int64_t visible_count;
    const struct reward_settings *reward;
    const double *terms;                      /* raw, of the reward's terms */
    const struct running_statistics *running; /* for reward_scaled; NULL: none yet */
};

struct sample sample_of_reply(const struct prompt *prompt, const struct reply *reply);
struct sample sample_of_turn(const struct experience *experience,
                             const struct experience_turn *turn);
status sample_write(FILE *out, const struct sample *sample);

#endif
