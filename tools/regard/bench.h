/* What the parts of bench share: the sizes it runs at, timing by rounds, random inputs and models,
 * and the rates measured in this run that every other figure is set beside. */
#ifndef REGARD_TOOLS_BENCH_H
#define REGARD_TOOLS_BENCH_H

#include "src/model/buffer.h"
#include "tools/regard/command.h"

#include <jansson.h>

/* What --shape chooses. */
struct bench_scale {
    const char *name;
    /* Sizes of a random model, where no other is named. */
    int64_t vocabulary, d_model, d_kv, d_ff, heads, layers;
    /* A turn: histories of so many tokens, candidates of each, new tokens of a reply. */
    int64_t histories, history_tokens, candidates, new_tokens;
    /* A wide decode step; its history's and its reply's tokens are a turn's. */
    int64_t decode_histories, decode_candidates;
    /* An update: histories, replies of each, their tokens, passes. */
    int64_t update_histories, update_candidates, reply_tokens, microbatches;
    int64_t exact_batches;          /* batch sizes 1 .. so many */
    int64_t peak_m, peak_n, peak_k; /* the product that gives the matrix rate */
    int64_t copy_bytes;             /* the copy that gives the bandwidth */
    int64_t rows[5];                /* of the products of `kernels`; 0: no more */
    int rounds;                     /* of what takes long */
};

/* Measured in this run, with this queue. */
struct bench_peaks {
    double flops; /* of op->matmul, per second */
    double bytes; /* of op->copy, read and written, per second */
};

struct bench {
    struct config config;
    const struct bench_scale *scale;
    const char *folder; /* of the model; NULL: random */
    struct queue *queue;
    struct bench_peaks peaks;
};

enum { BENCH_ROUNDS = 7 };

/* "tiny", "small" or "large"; NULL: no such name. */
const struct bench_scale *bench_scale_find(const char *name);

double bench_median(double *values, int count);
/* Median seconds of one call: a warm-up, then BENCH_ROUNDS rounds of as many calls as take
 * about 20 ms. */
status bench_time(struct queue *queue, void (*call)(struct queue *queue, void *context),
                  void *context, double *seconds);
/* Uniform in [-1, 1), as fp32 or as the queue's `real`, and ids in [low, high). */
status bench_floats(struct queue *queue, struct buffer *buffer, int64_t count, uint32_t stream);
status bench_reals(struct queue *queue, struct buffer *buffer, int64_t count, uint32_t stream);
void bench_ids(int32_t *ids, int64_t count, int32_t low, int32_t high, uint32_t stream);

/* The model that is measured, on any queue: the folder's, or random weights. */
status bench_model(const struct bench *bench, struct queue *queue, bool with_gradients,
                   struct model **out);

/* Random prompts of one length, every candidate a row. */
struct bench_prompts {
    struct prompt *prompts;
    int64_t prompt_count;
    struct reply_row *rows;
    int64_t row_count;
};
status bench_prompts_make(const struct rollout_settings *settings, const struct model_shape *shape,
                          int64_t histories, int64_t tokens, int64_t candidates,
                          struct bench_prompts *out);
void bench_prompts_free(struct bench_prompts *prompts);

status bench_peaks_measure(const struct bench *bench, struct bench_peaks *peaks, json_t *out);
status bench_kernels(const struct bench *bench, json_t *out);
status bench_generate(const struct bench *bench, json_t *out);
status bench_decode(const struct bench *bench, json_t *out);
status bench_update(const struct bench *bench, json_t *out);
status bench_weights(const struct bench *bench, json_t *out);
status bench_exact(const struct bench *bench, json_t *out);

#endif
