/* A loss of the policy's log-probabilities through its output head, some rows at a time: the
 * logits of all tokens never exist. */
#ifndef REGARD_LEARN_HEAD_PASS_H
#define REGARD_LEARN_HEAD_PASS_H

#include "src/learn/learner.h"

struct head_pass {
    float temperature, smoothing;
    bool entropy;       /* TOKEN_ENTROPY too */
    float entropy_coef; /* the loss has -entropy_coef TOKEN_WEIGHT TOKEN_ENTROPY too; 0: not */
    /* Called once, when TOKEN_LOGP of all tokens is there and no gradient yet; or NULL. */
    status (*all)(void *context);
    /* Queues what makes TOKEN_DLOGP of tokens [first, first + rows) from TOKEN_LOGP; NULL where it
     * is there already. */
    void (*rows)(void *context, int64_t first, int64_t rows);
    void *context;
};

/* After the forward pass over the learner's token arrays: TOKEN_LOGP of all tokens, the head's
 * gradient into the leaf, and the decoder's into the run, for model_backward. */
status head_pass_run(struct learner *learner, const struct head_pass *pass, float *leaf);

#endif
