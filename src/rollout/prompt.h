/* A prompt: H(t) as the encoder takes it, with the masks V(t) and I(t) of docs/reward.md. */
#ifndef REGARD_ROLLOUT_PROMPT_H
#define REGARD_ROLLOUT_PROMPT_H

#include "src/rollout/settings.h"
#include "src/text/history.h"

/* What a token is of. */
enum prompt_part {
    PART_USER,
    PART_ASSISTANT,
    PART_MARKER, /* and other special tokens */
    PART_SYSTEM,
    PART_SUMMARY, /* slots that stand for turns that were cut */
    PART_COUNT
};

struct prompt {
    int32_t *tokens;  /* [count] */
    uint8_t *visible; /* V: padding is out; with attention.exclude_special specials too, with
                       * attention.exclude_first position 0 */
    uint8_t *salient; /* I, a subset of V */
    uint8_t *turn_of; /* the turn a token belongs to, from 0, capped at 255 */
    uint8_t *part;    /* enum prompt_part */
    uint8_t *speaker; /* of a user with a name: its number from 1; else 0 */
    int32_t *cuts;    /* [cut_count] ascending: where a causal model's history falls into segments
                       * (struct model_batch); of an encoder-decoder the turns that its first
                       * tokens, slots, stand for (src/base/cut_turns.h) */
    int64_t count, cut_count, visible_count, salient_count;
    int64_t dropped, pruned, whole; /* what history.max_tokens took: struct encoded_history */
    int64_t slots; /* the first tokens that are: history.summary in docs/reward.md */
    int64_t turns; /* of the tokens: 1 + the largest of turn_of */
    int32_t turn;  /* t, from 1 */
    char names[SPEAKERS_MAX][SPEAKER_NAME_MAX]; /* of the speakers; empty: there are not so many */
};

/* From a dialogue's history; `history_coverage: false` keeps only the prompt's own marks, a reward
 * of the prompt (task: single_turn) keeps V to it too. */
status prompt_from_history(const struct history *history, const struct rollout_settings *settings,
                           struct prompt *out);
/* The special tokens of token ids.  pad is out of V in any case; -1: none. */
struct special_ids {
    int32_t pad;
    const int32_t *ids; /* [count], pad may be among them */
    int64_t count;
};
/* From token ids; marks on special tokens are dropped.  salient may be NULL: none. */
status prompt_from_tokens(const int32_t *tokens, const uint8_t *salient, int64_t count,
                          int32_t turn, const struct special_ids *special,
                          const struct rollout_settings *settings, struct prompt *out);
/* Takes tokens out of V (and of I): `visible` lists 0 or 1 for each. */
void prompt_restrict(struct prompt *prompt, const uint8_t *visible);
/* Says what is a marker: 0 or 1 for each token. */
void prompt_mark(struct prompt *prompt, const uint8_t *marker);
/* Says whose words the tokens are: speaker [count] a number of `names`, NULL-terminated. */
void prompt_name(struct prompt *prompt, const uint8_t *speaker, char *const *names);
/* Says where the history is cut: cuts [cut_count], which makes slots of an encoder-decoder's first
 * tokens. */
void prompt_cut(struct prompt *prompt, const int32_t *cuts, int64_t cut_count);
void prompt_free(struct prompt *prompt);

#endif
