/* What a rollout hands to the learners: one dialogue's turns with behaviour log-probabilities,
 * rewards and the attention summary from which the rewards can be computed again.  Packed
 * into one message (header, sizes, CRC32C) for the wire and for checkpoints; sending it is
 * mpi/experience.h's. */
#ifndef REGARD_ROLLOUT_EXPERIENCE_H
#define REGARD_ROLLOUT_EXPERIENCE_H

#include "src/base/status.h"
#include "src/reward/term.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    EXPERIENCE_VERSION = 2,
    EXPERIENCE_TOP_MAX = 64,         /* positions a token in the attention summary */
    EXPERIENCE_TURN_MAX = 1 << 20,   /* limits of a message: a bigger one is refused */
    EXPERIENCE_LENGTH_MAX = 1 << 24, /* tokens of one history or one reply */
    EXPERIENCE_EARLIER_MAX = 1 << 16 /* earlier turns of a history */
};

/* One reply of one candidate.  All arrays are owned (malloc), NULL when their count is 0.
 * Columns: [history], [reply], [reply, earlier] and [reply, top], row major. */
struct experience_turn {
    int32_t candidate, turn; /* turn counts from 0 within the rollout */
    bool ended;              /* the reply ends in the end token, not at the limit */
    bool dialogue_over;      /* the dialogue has no turn after this one */
    bool chosen;             /* rollout.continue: best goes on with this candidate */

    int32_t history_length, reply_length;
    int32_t *history_tokens; /* [history] */
    uint8_t *salient;        /* [history] 1: in H_salient */
    uint8_t *visible;        /* [history] 1: counts in entropy and mass (not special) */
    int32_t *turn_of_token;  /* [history] which earlier turn, -1: none */
    int32_t visible_count, salient_count;

    int32_t *reply_tokens; /* [reply] */
    float *logp;           /* [reply] behaviour policy's */
    float *entropy;        /* [reply] of the head-averaged row, after a mixing floor */
    float *salient_mass;   /* [reply] the mass that coverage uses */

    int32_t earlier;       /* columns of turn_mass, 0: not kept */
    float *turn_mass;      /* [reply, earlier] */
    int32_t top;           /* columns of the next two, at most EXPERIENCE_TOP_MAX */
    int32_t *top_position; /* [reply, top] history positions, -1: fewer than top visible */
    uint8_t *top_weight;   /* [reply, top] 8-bit log weights */

    int32_t term_count;     /* of the reward settings, at most TERM_MAX */
    double terms[TERM_MAX]; /* raw, in the settings' order; the rest is 0 */
    double reward;          /* raw, before scaling */
    double extra[4];        /* for the rollout's own use, carried as they are; 0 by default */
};

struct experience {
    int64_t dialogue;       /* id in the batch's numbering: decides owner and order */
    int64_t prompt;         /* which dialogue of the data set; -1: none */
    int64_t weight_version; /* the update whose weights sampled it */
    int64_t turn_count;
    struct experience_turn *turns; /* by turn, then candidate */
};

/* Zeroed turns; the arrays are still NULL. */
struct experience *experience_create(int64_t dialogue, int64_t weight_version, int64_t turn_count);
/* Allocates a turn's arrays, zeroed (top_position -1), for these sizes. */
void experience_turn_allocate(struct experience_turn *turn, int32_t history_length,
                              int32_t reply_length, int32_t earlier, int32_t top);
void experience_destroy(struct experience *experience);

/* One message; the caller frees *message.  Equal experiences give equal bytes. */
status experience_pack(const struct experience *experience, void **message, size_t *size);
/* A message that is cut, flipped, of another version or with sizes that do not add up is
 * refused; sender ("rank 3", "state.h5") starts the error. */
status experience_unpack(const void *message, size_t size, const char *sender,
                         struct experience **out);

/* The summary's 8-bit log weight and back: code c stands for 2^(-(255 - c) / 16), 0 for 0. */
uint8_t experience_weight_encode(float weight);
float experience_weight_decode(uint8_t code);

#endif
