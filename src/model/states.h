/* Every token's state in a model that reads texts, each by itself: an encoder-decoder's encoder,
 * or a decoder-only model. */
#ifndef REGARD_MODEL_STATES_H
#define REGARD_MODEL_STATES_H

#include "src/model/model.h"

struct model_states;
/* The layers that there are: of the encoder, or of a decoder-only model. */
int64_t model_states_layers(const struct model *model);
/* States behind the first `layer` layers, 0: the embeddings, with the model's last norm over them.
 * The model is the caller's and outlives the states. */
status model_states_create(struct model *model, int64_t layer, struct model_states **out);
void model_states_destroy(struct model_states *states); /* NULL is allowed */
/* All memory at once for passes of so many texts and tokens, none longer than `longest`. */
status model_states_reserve(struct model_states *states, int64_t texts, int64_t tokens,
                            int64_t longest);
/* Of texts [begin[i], begin[i + 1]), none empty: out [tokens, width] on the host.  Waits for the
 * device. */
status model_states_read(struct model_states *states, const int32_t *tokens, const int32_t *begin,
                         int64_t texts, float *out);

#endif
