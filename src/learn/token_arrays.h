/* The numbers of a pass that losses have for every reply token: arrays [count], side by side on
 * the device, so that one copy takes several; the host has those that go up and those that come
 * back. */
#ifndef REGARD_LEARN_TOKEN_ARRAYS_H
#define REGARD_LEARN_TOKEN_ARRAYS_H

#include "src/model/buffer.h"

enum token_array {
    TOKEN_BEHAVIOUR, /* log-probability of the policy that sampled */
    TOKEN_OLD,       /* of the one that the ratio is to */
    TOKEN_REF,       /* of the reference */
    TOKEN_ADVANTAGE,
    TOKEN_WEIGHT,    /* of the token in the batch's mean */
    TOKEN_LOG_RATIO, /* of its reply; goes up by itself, where there is one */
    TOKEN_LOSS,      /* the first that comes back */
    TOKEN_KL,
    TOKEN_CLIPPED,
    TOKEN_ENTROPY,
    TOKEN_LOGP,
    TOKEN_LSE, /* the first that stays on the device */
    TOKEN_DLOGP,
    TOKEN_ARRAYS
};

struct token_arrays {
    struct queue *queue;
    struct buffer memory;
    struct host_buffer host_memory;
    int64_t count; /* of the pass */
};

/* Room for passes of so many tokens. */
status token_arrays_reserve(struct token_arrays *t, int64_t count);
/* The arrays of a pass of so many tokens; what they held is gone. */
status token_arrays_begin(struct token_arrays *t, int64_t count);
void token_arrays_release(struct token_arrays *t);
float *token_device(const struct token_arrays *t, enum token_array array);
float *token_host(const struct token_arrays *t, enum token_array array);
/* Arrays [from, to) go to the device; or come back, and are waited for. */
void token_arrays_upload(struct token_arrays *t, enum token_array from, enum token_array to);
status token_arrays_download(struct token_arrays *t, enum token_array from, enum token_array to);

#endif
