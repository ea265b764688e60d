/* Replies to prompts: sampled step by step, or given and scored in one teacher-forced pass.
 * Both read the same statistics off the same operations and agree bit for bit. */
#ifndef REGARD_ROLLOUT_GENERATE_H
#define REGARD_ROLLOUT_GENERATE_H

#include "src/base/philox.h"
#include "src/model/decoder.h"
#include "src/model/run.h"
#include "src/rollout/prompt.h"
#include "src/rollout/reply.h"

/* One candidate of a prompt; counter names its random numbers (dialogue, turn, candidate). */
struct reply_row {
    int32_t prompt; /* ascending over the rows */
    uint32_t counter[3];
    int32_t limit; /* of generating: tokens after which it is cut unless it ended; 0: none */
};

/* The workspace of one model. */
struct generator;
/* statistics: what is read off for every token; it must outlive the generator and its replies. */
status generator_create(struct model *model, const struct statistic_table *statistics,
                        struct generator **out);
void generator_destroy(struct generator *generator);
const struct statistic_table *generator_statistics(const struct generator *generator);
/* What the statistics of these settings are laid out for. */
struct statistic_sizes generator_sizes(const struct generator *generator,
                                       const struct rollout_settings *settings, int64_t turns);
/* Room for generate_replies, or for score_replies, with any batch that the settings allow,
 * `candidates` rows a history or more: neither allocates afterwards but for longer prompts or
 * replies than those of a run.  Without it room is made when it is first needed. */
status generator_reserve(struct generator *generator, const struct rollout_settings *settings,
                         int64_t candidates);
status generator_reserve_scoring(struct generator *generator,
                                 const struct rollout_settings *settings, int64_t candidates);

/* replies [row_count], written; the caller frees them. */
status generate_replies(struct generator *generator, const struct rollout_settings *settings,
                        enum random_purpose purpose, const struct prompt *prompts,
                        const struct reply_row *rows, int64_t row_count, struct reply *replies);

/* A reply that is there already. */
struct given_reply {
    const int32_t *tokens; /* [count] */
    int64_t count;
    bool ended;
    const struct reply_blocks *blocks; /* NULL: rows are over the history alone */
};
/* The same of given replies [row_count], in one teacher-forced pass.  Where a reply has blocks,
 * entropy, entropy_floored and salient_mass are of rows over the history and the earlier blocks. At
 * temperature 0 log-probabilities are those at 1. */
status score_replies(struct generator *generator, const struct rollout_settings *settings,
                     const struct prompt *prompts, const struct reply_row *rows, int64_t row_count,
                     const struct given_reply *given, struct reply *replies);

#endif
