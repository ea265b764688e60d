/* What a rollout hands to the learners: one dialogue's turns with behaviour log-probabilities, the
 * statistics of attention, and the reward terms, which can be computed again from these.  Packed
 * into one message (header, tables, sizes, CRC32C) for the wire; sending it is mpi/experience.h's.
 */
#ifndef REGARD_ROLLOUT_EXPERIENCE_H
#define REGARD_ROLLOUT_EXPERIENCE_H

#include "src/capture/statistics.h"
#include "src/reward/terms.h"
#include "src/rollout/interrupt.h"
#include "src/text/role.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    EXPERIENCE_VERSION = 9,
    EXPERIENCE_TURN_MAX = 1 << 20,  /* limits of a message: a bigger one is refused */
    EXPERIENCE_LENGTH_MAX = 1 << 24 /* tokens of one history or one reply */
};

/* The columns of a run's experience: owned by the caller, they outlive it. */
struct experience_format {
    const struct statistic_table *statistics;
    const struct reward_settings *reward; /* whose terms it carries */
    int64_t layers, heads;                /* that attention is captured of */
    struct interruption interruption;     /* that its replies were sampled with */
};

/* A part of a reply with rewards of its own. */
struct experience_span {
    int32_t begin, end;     /* tokens of the reply */
    double terms[TERM_MAX]; /* raw, as a turn's */
};

/* One reply of one candidate.  All arrays are owned (malloc), NULL when their count is 0. */
struct experience_turn {
    int32_t candidate, turn; /* turn counts from 0 within the rollout */
    bool ended;              /* the reply ends in the end token, not at the limit */
    bool interrupted;        /* cut by rollout.interrupt before its end token */
    bool chosen;             /* rollout.continue: best goes on with this candidate */

    int32_t history_length, reply_length;
    int32_t *history_tokens; /* [history] */
    uint8_t *salient;        /* [history] 1: in I */
    uint8_t *visible;        /* [history] 1: in V, which entropy and mass are over */
    uint8_t *turn_of;        /* [history] the turn it belongs to, from 0, capped at 255 */
    uint8_t *part;           /* [history] enum prompt_part */
    /* Users with names: whose words a token is of, from 1, 0 nobody's [history]; NULL: there are
     * none. */
    uint8_t *speaker;
    char names[SPEAKERS_MAX][SPEAKER_NAME_MAX];
    int32_t *cuts; /* [cut_count] where the history may be cut: src/model/batch.h */
    int32_t cut_count;
    int32_t visible_count, salient_count;
    int32_t dropped, pruned, whole; /* what history.max_tokens took: struct encoded_history */

    int32_t *reply_tokens; /* [reply] */
    float *logp;           /* [reply] behaviour policy's */
    float *token_entropy;  /* [reply] of its softmax */
    struct statistics statistics;

    double terms[TERM_MAX]; /* raw, in the settings' order; the rest is 0 */
    double reward;          /* raw, before scaling */
    /* Where credit is given within the reply: spans that begin one behind another and end with it,
     * whose terms reward_terms_merge makes `terms` of.  0: the reply is one span. */
    int32_t span_count;
    struct experience_span *spans; /* [span_count] */
    /* task: reasoning: the last span is the answer's; a tag of sub-blocks has no partner; enum
     * block_mark of each token [reply]. */
    bool answered, unbalanced;
    uint8_t *marks;
    /* For samples [reply]: NULL, unless whoever learns from the turn made room for what the update
     * says: each token's advantage, and its probability afterwards over that of who sampled it.
     * Not in messages. */
    float *credit, *ratio;
};

struct experience {
    struct experience_format format;
    int64_t dialogue;       /* id in the batch's numbering: decides owner and order */
    int64_t prompt;         /* which dialogue of the data set; -1: none */
    int64_t weight_version; /* the update whose weights sampled it */
    /* What each given term's source took for it, its share of a batch's time. */
    double milliseconds[TERM_MAX];
    int64_t turn_count;
    struct experience_turn *turns; /* by turn, then candidate */
};

/* Zeroed turns; the arrays are still NULL. */
struct experience *experience_create(const struct experience_format *format, int64_t dialogue,
                                     int64_t weight_version, int64_t turn_count);
/* Allocates a turn's arrays, zeroed (statistics as statistics_allocate has them); of cuts as many
 * as cut_count says already.  turns: of the history. */
void experience_turn_allocate(const struct experience_format *format, struct experience_turn *turn,
                              int32_t history_length, int32_t reply_length, int64_t turns);
void experience_turn_free(struct experience_turn *turn);
void experience_destroy(struct experience *experience);

/* One message; the caller frees *message.  Equal experiences give equal bytes. */
status experience_pack(const struct experience *experience, void **message, size_t *size);
/* A message that is cut, flipped, of another version or format, or with sizes that do not add up
 * is refused; sender ("rank 3") starts the error. */
status experience_unpack(const void *message, size_t size, const struct experience_format *format,
                         const char *sender, struct experience **out);
/* Computes every reply's terms and reward again, from its tokens, masks and statistics, and refuses
 * an experience that says something else: one line with sender, dialogue, turn and term.  Terms
 * that a source gave must be finite, and replies are cut where rollout.interrupt's draw cuts them.
 */
status experience_verify(const struct experience *experience, const char *sender);

#endif
