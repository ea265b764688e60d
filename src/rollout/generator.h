/* What generation and scoring share and nobody else sees: the workspace of one model, and prompts
 * as the model takes them. */
#ifndef REGARD_ROLLOUT_GENERATE_PARTS_H
#define REGARD_ROLLOUT_GENERATE_PARTS_H

#include "src/rollout/block_rows.h"
#include "src/rollout/generate.h"
#include "src/rollout/heads.h"
#include "src/rollout/received.h"
#include "src/rollout/step_graphs.h"

/* What a generator's arrays are laid out for when it generates. */
struct generator_limits {
    int64_t tokens, rows, steps, turns;
    int64_t longest; /* tokens of a history */
};

/* Buffers that steps use and that may grow between generations. */
enum { GENERATOR_SHARED = 8 };

struct generator {
    struct model *model;
    struct model_decoder *decoder; /* NULL for a model without one */
    struct model_run *run;
    struct capture capture;
    struct results results;
    struct heads heads;
    struct received received;
    struct buffer key_begin, history, step; /* of scoring */
    struct buffer forced;                   /* [rows] of generating: struct sampling */
    struct block_rows blocks;               /* of scoring replies with blocks */
    /* Where the queue has graphs: steps are recorded, and the limits only grow. */
    bool graphs;
    struct generator_limits limits;
    int64_t layout;                     /* changes with the limits and when memory moves */
    const void *laid[GENERATOR_SHARED]; /* where the shared buffers were at the last generation */
    struct step_graphs recorded;
    struct host_buffer polled[2]; /* tokens on their way to the host */
};

/* For tests and measurements: false decodes as a queue without graphs does. */
void generator_use_graphs(struct generator *generator, bool graphs);

/* The settings do not read more layers than the decoder has. */
status generator_check(const struct generator *generator, const struct rollout_settings *settings);

/* The histories that a batch has at most, of `candidates` rows each but for the first and the last,
 * whose others may be in other batches. */
int64_t generator_histories(const struct rollout_settings *settings, int64_t candidates);

/* The prompts that rows read, in one piece. */
struct packed_prompts {
    int64_t first, count;
    int32_t *begin, *tokens;   /* [count + 1], [begin[count]] */
    int32_t *cut_begin, *cuts; /* [count + 1], [cut_begin[count]] */
};
void packed_prompts_make(struct packed_prompts *packed, const struct prompt *prompts,
                         const struct reply_row *rows, int64_t row_count);
/* The batch of these histories without replies. */
struct model_batch packed_prompts_batch(const struct packed_prompts *packed);
void packed_prompts_free(struct packed_prompts *packed);

#endif
