/* Replies to prompts: sampled step by step, or given and scored in one teacher-forced pass.
 * Both read the same statistics off the same operations and agree bit for bit. */
#ifndef REGARD_ROLLOUT_GENERATE_H
#define REGARD_ROLLOUT_GENERATE_H

#include "src/base/config.h"
#include "src/base/philox.h"
#include "src/model/decoder.h"
#include "src/model/run.h"
#include "src/reward/terms.h"
#include "src/rollout/prompt.h"
#include "src/rollout/reply.h"
#include "src/rollout/results.h"

/* One candidate of a prompt; counter names its random numbers (dialogue, turn, candidate). */
struct reply_row {
    int32_t prompt; /* ascending over the rows */
    uint32_t counter[3];
};

/* The workspace of one model. */
struct generator;
status generator_create(struct model *model, struct generator **out);
void generator_destroy(struct generator *generator);
/* Room for generate_replies, or for score_replies, with any batch that the configuration allows
 * (infer.batch rows, history.max_tokens, rollout.max_new_tokens, rollout.turns), `candidates` rows
 * a history or more: neither allocates afterwards but for longer prompts or replies than those of a
 * run.  Without it room is made when it is first needed. */
status generator_reserve(struct generator *generator, const struct config *config,
                         int64_t candidates);
status generator_reserve_scoring(struct generator *generator, const struct config *config,
                                 int64_t candidates);

/* config: rollout.{temperature, top_k, top_p, max_new_tokens}, infer.batch (rows at once),
 * attention.*, floor.*, control.  replies [row_count], written; the caller frees them. */
status generate_replies(struct generator *generator, const struct config *config,
                        enum random_purpose purpose, const struct prompt *prompts,
                        const struct reply_row *rows, int64_t row_count, struct reply *replies);
/* The same for replies whose tokens, count and ended are set: fills the rest. */
status score_replies(struct generator *generator, const struct config *config,
                     const struct prompt *prompts, const struct reply_row *rows, int64_t row_count,
                     struct reply *replies);

/* The raw reward terms of a reply; key names it in errors. */
status reply_terms(const struct reward_settings *reward, struct turn_key key,
                   const struct prompt *prompt, const struct reply *reply, double terms[TERM_MAX]);

#endif
