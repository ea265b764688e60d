/* What generation and scoring leave for every token of their replies: arrays of one block on the
 * device, which operations write, and its copy in pinned host memory, which replies are made of. */
#ifndef REGARD_ROLLOUT_RESULTS_H
#define REGARD_ROLLOUT_RESULTS_H

#include "src/model/buffer.h"
#include "src/rollout/reply.h"

struct results {
    struct queue *queue;
    const struct statistic_table *table;
    struct buffer device;
    struct host_buffer host;
    int64_t entries; /* tokens that the block is cut for */
    struct statistic_sizes sizes;
    /* On the device, [entries] or [entries, width of the statistic]. */
    int32_t *token;
    float *logp, *token_entropy, *self_certainty;
    bool certain; /* self_certainty is asked for */
    void *statistic[STATISTICS_MAX];
};

void results_create(struct results *results, struct queue *queue,
                    const struct statistic_table *table);
void results_destroy(struct results *results);
/* Room for so many tokens and statistics of these sizes. */
status results_reserve(struct results *results, int64_t entries,
                       const struct statistic_sizes *sizes);
/* The same, and all of it zero.  certain: self_certainty is asked for. */
status results_begin(struct results *results, int64_t entries, const struct statistic_sizes *sizes,
                     bool certain);
/* Where operations write it; NULL where it is not asked for. */
float *results_self_certainty(const struct results *results);
/* The outputs of every head's statistics: of `heads`. */
void results_heads(const struct results *results, struct head_statistics *heads);
/* Queues what computes the statistics of a set of rows: `rows` without its outputs. */
void results_compute(const struct results *results, const struct attention_summary *rows);
/* Copies the block to the host and waits for it. */
status results_read(struct results *results);
/* After results_read: the tokens of the entries. */
const int32_t *results_tokens(const struct results *results);
/* After results_read: a reply of `count` tokens from those of entry `first` on; of its turns the
 * first `turns`. */
void results_reply(const struct results *results, int64_t first, int64_t count, int64_t turns,
                   struct reply *reply);

#endif
