/* A reply of reasoning in blocks: where they begin and what its tokens are to later blocks. */
#ifndef REGARD_ROLLOUT_BLOCKS_H
#define REGARD_ROLLOUT_BLOCKS_H

#include "src/rollout/generate.h"
#include "src/text/history.h"

/* Fills reply->blocks by the tokens: words says what is salient and where the answer's marker
 * stands. */
status blocks_find(const struct rollout_settings *settings, const struct history_options *words,
                   struct reply *reply);

/* What replies that were generated are worth block by block: finds their blocks and reads their
 * rows in one teacher-forced pass, for only a whole reply says where its blocks are. */
status blocks_read(struct generator *generator, const struct rollout_settings *settings,
                   const struct history_options *words, const struct prompt *prompts,
                   const struct reply_row *rows, int64_t count, struct reply *replies);

#endif
