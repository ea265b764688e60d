/* Reward models: losses of pairs of turns, the right reply's first, whose histories are the
 * sequences that are read. */
#include "src/learn/pairs_pass.h"

typedef struct preference_loss pair_loss(const struct preference_settings *settings, double right,
                                         double wrong);

/* apart: each reply is a decision of its own. */
static status pairs_chunk(struct learner *l, const struct learn_batch *batch,
                          const struct learn_turn *turns, int64_t n, pair_loss *of_pair, bool apart,
                          float *leaf, struct partial *partial)
{
    const double pairs = (double)(batch->all_turns / 2);
    struct value_pass pass;
    status s = value_pass_forward(&pass, l->reward_model, turns, n, learner_keep(l));
    for (int64_t i = 0; !s && i < n; i += 2) {
        const double right = value_pass_of(&pass, i), wrong = value_pass_of(&pass, i + 1);
        const struct preference_loss one = of_pair(&l->settings.preference, right, wrong);
        partial->loss += one.loss / pairs;
        partial->accuracy += (apart ? (preference_decided(right) + preference_decided(-wrong)) / 2
                                    : preference_decided(right - wrong)) /
                             pairs;
        value_pass_learn(&pass, i, one.by_right / pairs);
        value_pass_learn(&pass, i + 1, one.by_wrong / pairs);
    }
    return pairs_pass_finish(&pass, s, l, turns, n, leaf, partial);
}

static status bradley_terry_chunk(struct learner *l, const struct learn_batch *batch,
                                  const struct learn_turn *turns, int64_t n, float *leaf,
                                  struct partial *partial)
{
    return pairs_chunk(l, batch, turns, n, preference_bradley_terry, false, leaf, partial);
}

static status logistic_chunk(struct learner *l, const struct learn_batch *batch,
                             const struct learn_turn *turns, int64_t n, float *leaf,
                             struct partial *partial)
{
    return pairs_chunk(l, batch, turns, n, preference_logistic, true, leaf, partial);
}

static status pair_chunk(struct learner *l, const struct learn_batch *batch,
                         const struct learn_turn *turns, int64_t n, float *leaf,
                         struct partial *partial)
{
    const struct preference_settings settings = {.smoothing = l->settings.preference.smoothing};
    const double pairs = (double)batch->all_turns;
    struct value_pass pass;
    status s = value_pass_forward(&pass, l->reward_model, turns, n, learner_keep(l));
    for (int64_t i = 0; !s && i < n; i++) {
        const double right = turns[i].target * value_pass_of(&pass, i);
        const struct preference_loss one = preference_bradley_terry(&settings, right, 0);
        partial->loss += one.loss / pairs;
        partial->accuracy += preference_decided(right) / pairs;
        value_pass_learn(&pass, i, turns[i].target * one.by_right / pairs);
    }
    return pairs_pass_finish(&pass, s, l, turns, n, leaf, partial);
}

const struct loss loss_pair = {
    .name = "pair", .of_pairs = true, .chunk = pair_chunk, .refresh = loss_update_refresh};
const struct loss loss_bradley_terry = {.name = "bradley_terry",
                                        .of_pairs = true,
                                        .together = 2,
                                        .chunk = bradley_terry_chunk,
                                        .refresh = loss_update_refresh};
const struct loss loss_logistic = {.name = "logistic",
                                   .of_pairs = true,
                                   .together = 2,
                                   .chunk = logistic_chunk,
                                   .refresh = loss_update_refresh};
