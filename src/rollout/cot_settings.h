/* Reasoning in blocks (docs/reward.md, Chain of thought); made by settings.h. */
#ifndef REGARD_ROLLOUT_COT_SETTINGS_H
#define REGARD_ROLLOUT_COT_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

enum { COT_TEXT_MAX = 1024, COT_MARKER_MAX = 64 };

struct tokenizer;

struct cot_settings {
    int64_t block; /* tokens; 0: replies are not reasoning */
    char answer_marker[COT_TEXT_MAX];
    double self_weight;
    int block_form; /* enum cot_block_form */
    bool reencode;  /* cot.history; tokenizer is set */
    bool deep;      /* <sub> .. </sub> are blocks of their own: cot.depth_lambda */
    /* After so many tokens without the marker it is put into the reply, token by token; 0: never.
     * What that takes is set by rollout_settings_fit. */
    int64_t reason_tokens;
    const struct tokenizer *tokenizer;
    int32_t marker[COT_MARKER_MAX];
    int64_t marker_count; /* 0: nothing is put anywhere */
};

#endif
