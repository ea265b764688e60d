/* Who looks into the attention of a pass, and adds to its gradient. */
#ifndef REGARD_MODEL_ATTENTION_WATCH_H
#define REGARD_MODEL_ATTENTION_WATCH_H

#include "kernels/ops.h"

/* Called with the attention of the last `layers` layers, of an encoder-decoder's encoder alone;
 * layer 0 is the last.  q, k and query rows are of all tokens of the pass, those of a causal
 * model's last layer too, where only replies' rows attend. */
struct attention_watch {
    int64_t layers;
    /* In a forward pass, once q and k are as attention reads them; not again where a backward pass
     * recomputes the layer.  May be NULL. */
    void (*forward)(void *context, int64_t layer, const struct attention *attention);
    /* In a backward pass, once dq and dk, rows like q and k, have the gradient of this attention:
     * what is added to them goes on.  May be NULL. */
    void (*backward)(void *context, int64_t layer, const struct attention *attention, real *dq,
                     real *dk);
    void *context;
};

#endif
