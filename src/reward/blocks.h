/* Reasoning in blocks (docs/reward.md, Chain of thought). */
#ifndef REGARD_REWARD_BLOCKS_H
#define REGARD_REWARD_BLOCKS_H

#include "src/reward/settings.h"

/* What a token of reasoning is: to later blocks in V, in I; put there by cot.reason_tokens, not
 * sampled, so that nothing is learned from it.  From BLOCK_DEPTH on: how many sub-blocks
 * (cot.depth_lambda) it lies in, deeper ones counted as the deepest. */
enum block_mark {
    BLOCK_VISIBLE = 1,
    BLOCK_SALIENT = 2,
    BLOCK_FORCED = 4,
    BLOCK_DEPTH = 8,
    BLOCK_DEPTH_MAX = 31
};
/* marks: of a reply's tokens, or NULL: none was put there. */
static inline bool token_forced(const uint8_t *marks, int64_t token)
{
    return marks && marks[token] & BLOCK_FORCED;
}

/* marks: of a reply's tokens, or NULL: they have no depth. */
static inline int32_t token_depth(const uint8_t *marks, int64_t token)
{
    return marks ? marks[token] / BLOCK_DEPTH : 0;
}

/* Where the blocks of a reply of `count` tokens begin, into begin [blocks_most]: every `size`
 * tokens, anew where the depth of `marks` (NULL: none) changes, and a last one at token `marker`,
 * with which the answer begins (-1: there is none).  Returns how many there are; 0 of an empty
 * reply. */
int32_t blocks_cut(int64_t count, int64_t size, int64_t marker, const uint8_t *marks,
                   int32_t *begin);
/* The most blocks that so many tokens can have; deep: their depth may change. */
int64_t blocks_most(int64_t count, int64_t size, bool deep);

/* Computes the terms of every block, whose history H(u) is the reply's and all earlier blocks;
 * given terms stay.  reply: as reward_terms_compute takes a whole one; marks [reply_count].  Block
 * u begins at begin[u]; its TERM_MAX terms stand at `terms` + u * stride bytes. */
status blocks_terms(const struct reward_settings *settings, const struct reward_turn *reply,
                    const uint8_t *marks, const int32_t *begin, int64_t blocks, void *terms,
                    size_t stride);

#endif
