/* Who looks into the attention of a pass, and adds to its gradient. */
#ifndef REGARD_MODEL_ATTENTION_WATCH_H
#define REGARD_MODEL_ATTENTION_WATCH_H

#include "kernels/ops.h"

/* Called with a layer's attention: of a causal model's layers, of an encoder-decoder's encoder, the
 * last `layers` of them; layer 0 is the last.  Its query rows are all rows that the pass computes.
 */
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
