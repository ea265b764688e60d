/* The device side of the attention summary for a set of prompts and rows: masks, floors,
 * counters, and the call that reduces captured rows.  Shared by generation and scoring. */
#ifndef REGARD_ROLLOUT_CAPTURE_H
#define REGARD_ROLLOUT_CAPTURE_H

#include "src/model/buffer.h"
#include "src/rollout/generate.h"

struct capture {
    struct queue *queue;
    struct buffer visible, salient, earlier;       /* per history token */
    struct buffer floor, counter;                  /* per row */
    struct buffer entropy, floored, mass, special; /* per row, outputs */
    struct buffer turn_mass, top_position, top_weight;
    int64_t turns; /* columns of turn_mass */
};

void capture_create(struct capture *capture, struct queue *queue);
void capture_destroy(struct capture *capture);
/* Masks of prompts[0..count), packed in order. */
status capture_prompts(struct capture *capture, const struct prompt *prompts, int64_t count);
/* Per row: its prompt (index into prompts) and counter words [rows, 3]. */
status capture_rows(struct capture *capture, const struct config *config,
                    const struct prompt *prompts, const int32_t *prompt_of_row,
                    const uint32_t *counters, int64_t rows);
/* Reduces `rows` captured rows; layers_heads: how many maps were added up. */
status capture_reduce(struct capture *capture, const struct config *config, const float *captured,
                      int64_t stride, int64_t layers_heads, const int32_t *history_of_row,
                      const int32_t *key_begin, const int32_t *key_end, const int32_t *step,
                      int64_t rows);

#endif
