/* What replies and dialogues are made with, and what text becomes tokens with.  Made at the edge
 * from the configuration; settings.c alone of this folder knows it. */
#ifndef REGARD_ROLLOUT_SETTINGS_H
#define REGARD_ROLLOUT_SETTINGS_H

#include "src/model/shape.h"
#include "src/reward/settings.h"
#include "src/rollout/cot_settings.h"
#include "src/rollout/interrupt.h"

#include <stdbool.h>

enum { LANGUAGE_TEXT_MAX = 1024, LANGUAGE_PROMPT_MAX = 16384 };

struct rollout_settings {
    int64_t seed;
    /* sampling */
    double temperature, top_p;
    int64_t top_k, max_new_tokens;
    int64_t batch;                  /* replies that are decoded or scored at once */
    int64_t max_history, max_turns; /* what room is made for beforehand */
    int64_t summary_slots;          /* history.summary: more tokens before a history; 0: none */
    int64_t cache_tokens;           /* whose keys and values a causal model keeps; see batch.h */
    /* attention */
    int64_t layers;        /* of the decoder, the last; 0: none is read, asked by bench alone */
    bool all_heads;        /* statistics of every layer and head too */
    bool speakers;         /* and of users with names */
    bool exclude_special;  /* V without special tokens */
    bool exclude_first;    /* V without position 0; set by rollout_settings_fit */
    bool history_coverage; /* false: I is of the current prompt alone */
    bool prompt_reward;    /* V is: task: single_turn */
    bool shuffled, random_salience; /* controls */
    bool self_certainty;            /* of every token too: struct reply */
    bool received; /* sampling tells what attention the history's tokens got: struct reply */
    /* dialogues */
    int64_t candidates, turns;
    bool continue_best;
    int user; /* enum user_kind */
    struct interruption interruption;
    struct cot_settings cot;
    struct reward_settings reward;
};

struct language_settings {
    char tokenizer[LANGUAGE_TEXT_MAX]; /* a folder, "bytes", or empty: the model's folder */
    int64_t extra_ids;                 /* of "bytes"; 0: 125 */
    char keywords[LANGUAGE_TEXT_MAX];  /* a file, or empty */
    char user_marker[LANGUAGE_TEXT_MAX], assistant_marker[LANGUAGE_TEXT_MAX];
    char chat[64];                    /* auto, or a chat format's name */
    char system[LANGUAGE_PROMPT_MAX]; /* of dialogues without one; empty: the chat format's own */
    bool encoder;                     /* a new model has one */
    int64_t max_tokens;               /* of a history */
    bool prompt_only;                 /* a history is its last message */
    int prune;                        /* enum history_prune */
    int64_t summary_slots;            /* 0: what was cut is gone */
    bool all_slots;                   /* history.summary: learned */
    double idf_quantile;
    bool entities, digits;
};

struct config;
struct rollout_settings rollout_settings_of(const struct config *config);
/* Then what the model's family decides: only a causal model has a first position to leave out; and
 * what the tokenizer (NULL: none) makes of the answer's marker. */
status rollout_settings_fit(struct rollout_settings *settings, const struct config *config,
                            const struct model_shape *shape, const struct tokenizer *tokenizer);
/* The part of it that is of history.summary, which only encoder-decoders have. */
status summary_settings_fit(const struct config *config, const struct model_shape *shape);
/* The part of it that is of reasoning. */
status cot_settings_fit(struct cot_settings *cot, const struct model_shape *shape,
                        const struct tokenizer *tokenizer);
/* What of statistics_of is asked for. */
int rollout_statistics(const struct rollout_settings *settings);
/* Tokens of the longest history that a model reads; and of the turns that its summary is of. */
int64_t rollout_longest_history(const struct rollout_settings *settings);
int64_t rollout_cut_tokens(const struct rollout_settings *settings);
/* The same for a model that speaks the user's part: no control, one layer, a reply at a time. */
struct rollout_settings rollout_settings_of_user(const struct rollout_settings *settings);
struct language_settings language_settings_of(const struct config *config);

#endif
