/* See states.h.  A decoder-only model's text is a history of its first token alone with the rest
 * as the reply: the rows that predict the reply's tokens are the states of all of the text's, the
 * last one's too where a token, of no account, stands behind it. */
#include "src/model/states.h"

#include "src/base/memory.h"
#include "src/model/buffer.h"
#include "src/model/run.h"
#include "src/model/run_state.h"

#include <stdlib.h>

struct model_states {
    struct model *model;
    struct model_run *run;
};

int64_t model_states_layers(const struct model *model)
{
    const struct model_shape *shape = model->shape;
    return model_shape_is_causal(shape) ? shape->layers
                                        : (int64_t)model_shape_number(shape, "encoder_layers");
}

status model_states_create(struct model *model, int64_t layer, struct model_states **out)
{
    const int64_t layers = model_states_layers(model);
    if (layer < 0 || layer > layers)
        FAIL(STATUS_INPUT, "layer %lld of a model that has %lld", (long long)layer,
             (long long)layers);
    struct model_states *states = memory_allocate(sizeof *states);
    states->model = model;
    status s = model_run_create(model, &states->run);
    if (s) {
        free(states);
        return s;
    }
    model_run_read_states(states->run, layer);
    *out = states;
    return NULL;
}

void model_states_destroy(struct model_states *states)
{
    if (!states) return;
    model_run_destroy(states->run);
    free(states);
}

status model_states_reserve(struct model_states *states, int64_t texts, int64_t tokens,
                            int64_t longest)
{
    struct model_limits limits = {
        .histories = texts, .history_tokens = tokens, .longest_history = longest};
    if (model_shape_is_causal(states->model->shape))
        limits = (struct model_limits){.histories = texts,
                                       .longest_history = 1,
                                       .replies = texts,
                                       .reply_tokens = tokens,
                                       .longest_reply = longest};
    return model_run_reserve(states->run, &limits);
}

static status causal_forward_states(struct model_states *states, const int32_t *tokens,
                                    const int32_t *begin, int64_t texts)
{
    const size_t n = (size_t)texts, count = (size_t)begin[texts];
    int32_t *first = memory_allocate(n * sizeof *first);
    int32_t *first_begin = memory_allocate((n + 1) * sizeof *first_begin);
    int32_t *own = memory_allocate(n * sizeof *own);
    int32_t *rest = memory_allocate(count * sizeof *rest);
    for (int64_t i = 0; i < texts; i++) {
        first[i] = tokens[begin[i]];
        first_begin[i + 1] = (int32_t)(i + 1);
        own[i] = (int32_t)i;
        for (int32_t t = begin[i]; t + 1 < begin[i + 1]; t++) rest[t] = tokens[t + 1];
        rest[begin[i + 1] - 1] = first[i];
    }
    const struct model_batch batch = {.histories = texts,
                                      .history_begin = first_begin,
                                      .history_tokens = first,
                                      .replies = texts,
                                      .reply_begin = begin,
                                      .reply_tokens = rest,
                                      .reply_history = own};
    status s = model_forward(states->run, &batch, MODEL_KEEP_NOTHING, 0);
    free(first);
    free(first_begin);
    free(own);
    free(rest);
    return s;
}

status model_states_read(struct model_states *states, const int32_t *tokens, const int32_t *begin,
                         int64_t texts, float *out)
{
    if (model_shape_is_causal(states->model->shape)) {
        TRY(causal_forward_states(states, tokens, begin, texts));
    } else {
        const struct model_batch batch = {
            .histories = texts, .history_begin = begin, .history_tokens = tokens};
        TRY(model_forward(states->run, &batch, MODEL_KEEP_NOTHING, 0));
    }
    return reals_download(states->model->queue, model_run_states(states->run),
                          begin[texts] * states->model->shape->width, out);
}
