/* What is handed to a model at once, and how large it may become. */
#ifndef REGARD_MODEL_BATCH_H
#define REGARD_MODEL_BATCH_H

#include <stdbool.h>
#include <stdint.h>

/* A teacher-forced batch, host arrays.  Reply r belongs to history reply_history[r] (ascending);
 * its token t is predicted behind the history, the shape's start id (of a causal model there is
 * none) and the tokens before t.
 * Of a causal model histories fall into segments at their cuts, and a segment that several share
 * is computed once.  A history whose reply went on to become part of a later history is cut in the
 * later one where its own last token stood, and before the reply's last token: these are the
 * segments that sampling the reply has computed. */
struct model_batch {
    int64_t histories;
    const int32_t *history_begin; /* [histories + 1] into history_tokens */
    const int32_t *history_tokens;
    const int32_t *cut_begin;   /* [histories + 1] into cuts; NULL: no history has any */
    const int32_t *cuts;        /* offsets into the history, ascending; of an encoder-decoder the
                                 * turns that were cut off it (src/base/cut_turns.h), or nothing */
    bool apart;                 /* of a causal model: segments are not shared, every token of every
                                 * history has a row (model_token_rows) */
    int64_t replies;            /* 0: only the histories are read */
    const int32_t *reply_begin; /* [replies + 1] into reply_tokens */
    const int32_t *reply_tokens;
    const int32_t *reply_history; /* [replies] */
};

/* What a forward pass keeps for model_backward: nothing; all activations; or each layer's input
 * alone, for a backward pass that recomputes each layer: less memory, a third more work, the same
 * bits. */
enum model_keep { MODEL_KEEP_NOTHING, MODEL_KEEP_ALL, MODEL_KEEP_INPUTS };

/* The largest batch that a run is to take: none of its passes is beyond any of these. */
struct model_limits {
    int64_t histories, history_tokens,
        longest_history;   /* tokens of a causal model: computed ones; of an encoder-decoder
                            * history_tokens has those of turns that were cut off too */
    int64_t summary_slots; /* of one history of an encoder-decoder */
    int64_t replies, reply_tokens, longest_reply; /* 0: only the histories are read */
    int64_t cuts;                                 /* of one history */
    int64_t capture_layers;
    enum model_keep keep;
};

/* The largest batch of a decoder. */
struct model_decoder_limits {
    int64_t histories, history_tokens, longest_history; /* of all histories; of one */
    int64_t cuts;                                       /* of one history */
    int64_t summary_slots;                              /* as of model_limits */
    int64_t rows, steps;
    int64_t capture_layers; /* 0: none is ever captured */
    int64_t cache_tokens; /* of a causal model: whose keys and values are kept from batch to batch,
                           * at least those of one batch; 0: twice those */
};

/* What a decoder has computed, in tokens: of histories; rows of steps. */
struct model_decoder_counts {
    int64_t prefilled, decoded;
};

/* Called from inside a backward pass, whose gradients become final from the end of the parameters
 * to their start: nothing that is queued after the call changes gradients at `offset` floats or
 * behind it.  The last call has offset 0.  ready NULL: nobody listens. */
struct model_watermark {
    void (*ready)(void *context, int64_t offset);
    void *context;
};

#endif
