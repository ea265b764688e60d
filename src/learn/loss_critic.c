/* The critic's squares: mean over turns of (V - target)^2. */
#include "src/base/memory.h"
#include "src/learn/loss.h"
#include "src/learn/pack.h"

#include <stdlib.h>

static status critic_chunk(struct learner *l, const struct learn_batch *batch,
                           const struct learn_turn *turns, int64_t n, float *leaf,
                           struct partial *partial)
{
    struct packed_batch packed;
    packed_batch_make(&packed, turns, n);
    const int64_t histories = packed.batch.histories;
    float *values = memory_allocate((size_t)histories * 2 * sizeof *values + 4);
    float *dvalues = values + histories;
    status s = value_model_forward(l->critic, &packed.batch, learner_keep(l), values);
    for (int64_t i = 0; !s && i < n; i++) {
        const int32_t h = packed.history_of_turn[i];
        const double error = (double)values[h] - turns[i].target;
        partial->loss += error * error / (double)batch->all_turns;
        dvalues[h] += (float)(2 * error / (double)batch->all_turns);
    }
    if (!s) s = value_model_backward(l->critic, dvalues, leaf, &l->watermark);
    free(values);
    packed_batch_free(&packed);
    return s;
}

static status refresh(struct learner *l)
{
    return value_model_refresh_step(l->critic);
}

const struct loss loss_critic = {
    .name = "critic", .of_critic = true, .chunk = critic_chunk, .refresh = refresh};
