/* cot.history: reencode.  Every block of a reply is a turn of its own to an encoder-decoder: the
 * encoder reads the question and the earlier blocks anew, the decoder begins again.  A block ends
 * after cot.block tokens, or with the answer's marker, behind which the last block begins. */
#ifndef REGARD_ROLLOUT_REENCODE_H
#define REGARD_ROLLOUT_REENCODE_H

#include "src/rollout/generate.h"
#include "src/task/examples.h"

/* Where the blocks of a reply begin, into begin [blocks_most]; *count 0 of an empty reply,
 * *answered where the last one is the answer's. */
status reencode_cut(const struct cot_settings *cot, const int32_t *tokens, int64_t length,
                    int32_t *begin, int32_t *count, bool *answered);

/* generate_replies and score_replies of such replies; without given blocks the statistics are over
 * the question alone. */
status reencode_generate(struct generator *generator, const struct rollout_settings *settings,
                         enum random_purpose purpose, const struct prompt *prompts,
                         const struct reply_row *rows, int64_t row_count, struct reply *replies);
status reencode_score(struct generator *generator, const struct rollout_settings *settings,
                      const struct prompt *prompts, const struct reply_row *rows, int64_t row_count,
                      const struct given_reply *given, struct reply *replies);

/* What sft learns: every example becomes one a block. */
status reencode_examples(const struct cot_settings *cot, struct example_list *list);

#endif
