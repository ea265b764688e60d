/* A reply with what was read off while it was generated or scored. */
#ifndef REGARD_ROLLOUT_REPLY_H
#define REGARD_ROLLOUT_REPLY_H

#include <stdbool.h>
#include <stdint.h>

/* All arrays [count] or [count, columns], owned. */
struct reply {
    int32_t *tokens;
    float *logp;            /* full softmax at rollout.temperature */
    float *token_entropy;   /* of that softmax */
    float *entropy;         /* attention's, before the floor */
    float *entropy_floored; /* as focus takes it */
    float *salient_mass;    /* as coverage takes it */
    float *special_mass;    /* what attention.exclude_special removed */
    float *turn_mass;       /* [count, turns] mass an earlier turn */
    int32_t *top_position;  /* [count, top] */
    float *top_weight;      /* [count, top] */
    int64_t count, turns, top;
    bool ended; /* the end token was sampled (and is the last token) */
};

/* Zeroed arrays of these sizes; tokens too. */
void reply_allocate(struct reply *reply, int64_t count, int64_t turns, int64_t top);
void reply_free(struct reply *reply);

#endif
