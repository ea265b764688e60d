/* The critic's squares: mean over turns of (V - target)^2. */
#include "src/learn/loss.h"
#include "src/learn/value_pass.h"

static status critic_chunk(struct learner *l, const struct learn_batch *batch,
                           const struct learn_turn *turns, int64_t n, float *leaf,
                           struct partial *partial)
{
    struct value_pass pass;
    status s = value_pass_forward(&pass, l->critic, turns, n, learner_keep(l));
    for (int64_t i = 0; !s && i < n; i++) {
        const double error = value_pass_of(&pass, i) - turns[i].target;
        partial->loss += error * error / (double)batch->all_turns;
        value_pass_learn(&pass, i, 2 * error / (double)batch->all_turns);
    }
    if (!s) s = value_pass_backward(&pass, leaf, &l->watermark);
    value_pass_free(&pass);
    return s;
}

static status refresh(struct learner *l)
{
    return value_model_refresh_step(l->critic);
}

const struct loss loss_critic = {
    .name = "critic", .of_critic = true, .chunk = critic_chunk, .refresh = refresh};
