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
    /* A random model's kind, as a config.json has it, and sizes, where no other is named; kv_heads
     * of a decoder-only one. */
    const char *family;
    int64_t vocabulary, d_model, d_kv, d_ff, heads, kv_heads, layers;
    /* A turn: histories of so many tokens, candidates of each, new tokens of a reply. */
    int64_t histories, history_tokens, candidates, new_tokens;
    /* Decode steps: histories of a turn's length, candidates of each, tokens of a reply. */
    int64_t decode_histories, decode_candidates, decode_tokens;
    /* Of decoder-only models: histories read at once; tokens that a second turn has behind the
     * first one's reply. */
    int64_t prefill_histories, next_tokens;
    /* An update: histories, replies of each, their tokens, passes. */
    int64_t update_histories, update_candidates, reply_tokens, microbatches;
    int64_t exact_batches;          /* batch sizes 1 .. so many */
    int64_t peak_m, peak_n, peak_k; /* the product that gives the matrix rate */
    int64_t copy_bytes;             /* the copy that gives the bandwidth */
    int64_t rows[5];                /* of the products of `kernels`; 0: no more */
    int rounds;                     /* of what takes long; --rounds */
};

/* Measured in this run, with this queue. */
struct bench_peaks {
    double flops; /* of op->matmul, per second */
    double bytes; /* of op->copy, read and written, per second */
    double read;  /* bytes that the queue's threads read per second; 0: not on the host */
};

struct bench {
    struct config config;
    const struct bench_scale *scale;
    const char *folder; /* of the model; NULL: random */
    int rounds;
    struct profile *profile; /* NULL: none is wanted */
    struct queue *queue;
    struct bench_peaks peaks;
};

enum { BENCH_ROUNDS = 7, BENCH_ROUNDS_MAX = 64 };

/* "tiny", "small", "large", "causal" or "tiny-causal"; NULL: no such name. */
const struct bench_scale *bench_scale_find(const char *name);

double bench_median(double *values, int count); /* sorts them */
/* Of sorted values: bounds that hold the median with at least 95% (order statistics). */
void bench_median_interval(const double *values, int count, double bounds[2]);
/* Median seconds of one call: a warm-up, then BENCH_ROUNDS rounds of as many calls as take
 * about 20 ms. */
status bench_time(struct queue *queue, void (*call)(struct queue *queue, void *context),
                  void *context, double *seconds);
/* Uniform in [-1, 1), as fp32 or as the queue's `real`, and ids in [low, high). */
status bench_floats(struct queue *queue, struct buffer *buffer, int64_t count, uint32_t stream);
status bench_reals(struct queue *queue, struct buffer *buffer, int64_t count, uint32_t stream);
void bench_ids(int32_t *ids, int64_t count, int32_t low, int32_t high, uint32_t stream);

/* Whether the model that is measured is decoder-only. */
status bench_is_causal(const struct bench *bench, bool *causal);
/* That model, on any queue: the folder's, or random weights. */
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
/* Other random tokens in the same places. */
void bench_prompts_change(struct bench_prompts *prompts, const struct model_shape *shape,
                          uint32_t stream);

/* Elements of the matrices that are applied to every token of a history, of a reply (the head's
 * too); of a causal model's history those of the last layer whose results nobody reads. */
struct bench_weights_count {
    double history, reply, history_unread;
};
struct bench_weights_count bench_weights_of(struct model *model);
/* Bytes of a token's keys and values in all layers that decode. */
double bench_key_bytes(struct model *model);
/* Operations of attention: of a history of n tokens among themselves; of a reply of k tokens behind
 * it.  4 x width x query-key pairs seen. */
double bench_history_attention(const struct model_shape *shape, double n);
double bench_reply_attention(const struct model_shape *shape, double n, double k);

status bench_peaks_measure(const struct bench *bench, struct bench_peaks *peaks, json_t *out);
/* Bytes a second that so many threads read from memory, of a block too large for the caches. */
status bench_read_rate(int threads, int64_t bytes, double *rate);
/* One kernel's line; flops or bytes 0: left out. */
json_t *bench_kernel_line(const char *name, const struct bench_peaks *peaks, double seconds,
                          double flops, double bytes);
status bench_attention(const struct bench *bench, json_t *list);
status bench_rows(const struct bench *bench, json_t *list);
status bench_kernels(const struct bench *bench, json_t *out);
status bench_generate(const struct bench *bench, json_t *out);
status bench_decode(const struct bench *bench, json_t *out);
status bench_prefill(const struct bench *bench, json_t *out);
status bench_turns(const struct bench *bench, json_t *out);
status bench_update(const struct bench *bench, json_t *out);
status bench_weights(const struct bench *bench, json_t *out);
status bench_exact(const struct bench *bench, json_t *out);

#endif
