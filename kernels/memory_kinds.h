/* What the kinds of device memory are called, which keys lower each, and how one line tells what
 * is needed: of the program's plan and of the CUDA module's errors alike. */
#ifndef REGARD_KERNELS_MEMORY_KINDS_H
#define REGARD_KERNELS_MEMORY_KINDS_H

#include "kernels/ops.h"

#include <stdio.h>

enum { MEMORY_ALIGNMENT = 256 }; /* bytes, of every block */

static inline size_t memory_rounded(size_t bytes)
{
    const size_t some = bytes ? bytes : 1;
    return (some + MEMORY_ALIGNMENT - 1) / MEMORY_ALIGNMENT * MEMORY_ALIGNMENT;
}

static inline const char *memory_kind_name(int kind)
{
    static const char *const names[MEMORY_KINDS] = {"activations", "weights", "optimizer",
                                                    "caches",      "capture", "scratch"};
    return names[kind];
}

static inline const char *memory_kind_advice(int kind)
{
    static const char *const advice[MEMORY_KINDS] = {
        "lower learn.reply_tokens, learn.history_tokens, history.max_tokens or infer.batch, or set "
        "learn.recompute: true",
        "take a smaller model or precision: bf16",
        "raise roles.learners or lower learn.microbatches",
        "lower infer.batch or rollout.max_new_tokens",
        "lower infer.batch or history.max_tokens",
        "lower learn.history_tokens, history.max_tokens or infer.batch"};
    return advice[kind];
}

static inline double memory_mb(size_t bytes)
{
    return (double)bytes * 1e-6;
}

static inline size_t memory_sum(const size_t bytes[MEMORY_KINDS])
{
    size_t sum = 0;
    for (int kind = 0; kind < MEMORY_KINDS; kind++) sum += bytes[kind];
    return sum;
}

/* Of those that keys change: scratch follows from the others. */
static inline int memory_largest(const size_t bytes[MEMORY_KINDS])
{
    int largest = 0;
    for (int kind = 1; kind < MEMORY_SCRATCH; kind++)
        if (bytes[kind] > bytes[largest]) largest = kind;
    return largest;
}

enum { MEMORY_LINE = 512 };

/* "12.0 MB (activations 5.0, weights 7.0)" */
static inline const char *memory_line(const size_t bytes[MEMORY_KINDS], char out[MEMORY_LINE])
{
    int used = snprintf(out, MEMORY_LINE, "%.1f MB (", memory_mb(memory_sum(bytes)));
    const char *between = "";
    for (int kind = 0; kind < MEMORY_KINDS; kind++) {
        if (!bytes[kind]) continue;
        used += snprintf(out + used, MEMORY_LINE - (size_t)used, "%s%s %.1f", between,
                         memory_kind_name(kind), memory_mb(bytes[kind]));
        between = ", ";
    }
    snprintf(out + used, MEMORY_LINE - (size_t)used, ")");
    return out;
}

#endif
