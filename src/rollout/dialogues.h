/* Whole dialogues: user and policy take turns, every reply is an experience. */
#ifndef REGARD_ROLLOUT_DIALOGUES_H
#define REGARD_ROLLOUT_DIALOGUES_H

#include "src/data/dialogue.h"
#include "src/reward/running.h"
#include "src/rollout/experience.h"
#include "src/rollout/generate.h"
#include "src/source/source.h"

/* What a rollout is made with; all owned by the caller. */
struct rollout {
    const struct rollout_settings *settings;
    const struct rollout_settings *user_settings; /* of the user's model */
    struct generator *policy;
    struct generator *scorer; /* scorer: frozen; NULL reads the policy's own attention */
    struct generator *user;   /* rollout.user: model */
    const struct history_options *history;
    const struct dataset *data;
    struct source_set *sources; /* of the settings' given terms; NULL where there are none */
    struct running_statistics statistics; /* came with the weights; `best` chooses by them */
};

/* The batch's dialogue ids [count) -> out[count], each to be destroyed by the caller.  A
 * dialogue id is its place in the endless prompt order: its data is prompt_order(seed,
 * id / count of data, id % count of data). */
status rollout_dialogues(struct rollout *rollout, const int64_t *ids, int64_t count,
                         int64_t weight_version, struct experience **out);

/* The columns of its experiences. */
struct experience_format rollout_format(const struct rollout *rollout);

/* An experience's turn from a prompt and its reply, terms computed.  given: values of the terms
 * that sources give; NULL: there are none. */
status experience_turn_fill(const struct experience_format *format, int64_t dialogue,
                            int32_t candidate, const struct prompt *prompt,
                            const struct reply *reply, const double *given,
                            struct experience_turn *turn);

#endif
