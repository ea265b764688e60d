/* What the parts of bench share: timing by rounds, random inputs, and the rates measured in
 * this run that every other figure is set beside. */
#ifndef REGARD_TOOLS_BENCH_H
#define REGARD_TOOLS_BENCH_H

#include "src/model/buffer.h"
#include "tools/regard/command.h"

#include <jansson.h>

/* Measured in this run, with this queue's threads. */
struct bench_peaks {
    double flops; /* of op->matmul, per second */
    double bytes; /* of op->copy, read and written, per second */
};

enum { BENCH_ROUNDS = 7, BENCH_SLOW_ROUNDS = 5 };

double bench_median(double *values, int count);
/* Median seconds of one call: a warm-up, then BENCH_ROUNDS rounds of as many calls as take
 * about 20 ms. */
status bench_time(struct queue *queue, void (*call)(struct queue *queue, void *context),
                  void *context, double *seconds);
/* Uniform in [-1, 1), and ids in [low, high). */
status bench_floats(struct queue *queue, struct buffer *buffer, int64_t count, uint32_t stream);
void bench_ids(int32_t *ids, int64_t count, int32_t low, int32_t high, uint32_t stream);

status bench_peaks_measure(struct queue *queue, struct bench_peaks *peaks, json_t *out);
status bench_kernels(struct queue *queue, const struct bench_peaks *peaks, json_t *out);
/* The replies of generate are what update learns from; what they measure goes to out under
 * "generate" and "update" as asked. */
status bench_model(const struct command *command, struct queue *queue,
                   const struct bench_peaks *peaks, bool generate, bool update, json_t *out);

#endif
