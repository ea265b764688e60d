/* Interaction distillation's student: the loss of preferences, and what draws its attention to the
 * teacher's (aligner.h). */
#include "src/base/memory.h"
#include "src/learn/aligner.h"
#include "src/learn/pairs_pass.h"

#include <stdlib.h>

/* The losses of the scores.  probabilities: the teacher's, learned as soft labels, or NULL. */
static void scores_learn(const struct learner *l, struct value_pass *pass, int64_t n, double pairs,
                         const double *probabilities, struct partial *partial)
{
    const double weight = l->settings.align.weight;
    for (int64_t i = 0; i < n; i += 2) {
        const double right = value_pass_of(pass, i), wrong = value_pass_of(pass, i + 1);
        const struct preference_loss one =
            preference_bradley_terry(&l->settings.preference, right, wrong);
        double by_right = one.by_right, by_wrong = one.by_wrong;
        partial->loss += one.loss / pairs;
        partial->accuracy += preference_decided(right - wrong) / pairs;
        if (probabilities) {
            const struct preference_settings soft = {.smoothing = 1 - probabilities[i / 2]};
            const struct preference_loss taught = preference_bradley_terry(&soft, right, wrong);
            partial->loss += weight * taught.loss / pairs;
            partial->alignment += taught.loss / pairs;
            by_right += weight * taught.by_right;
            by_wrong += weight * taught.by_wrong;
        }
        value_pass_learn(pass, i, by_right / pairs);
        value_pass_learn(pass, i + 1, by_wrong / pairs);
    }
}

static status interaction_chunk(struct learner *l, const struct learn_batch *batch,
                                const struct learn_turn *turns, int64_t n, float *leaf,
                                struct partial *partial)
{
    const double pairs = (double)(batch->all_turns / 2);
    const bool soft = l->aligner && l->settings.align.control == ALIGN_PROBABILITY;
    double *probabilities =
        soft ? memory_allocate((size_t)(n / 2 + 1) * sizeof *probabilities) : NULL;
    double distance = 0;
    struct value_pass pass;
    status s = value_pass_forward(&pass, l->reward_model, turns, n, learner_keep(l));
    if (!s && l->aligner)
        s = aligner_read(l->aligner, &pass.packed.batch, turns, n, pairs, probabilities);
    if (!s) scores_learn(l, &pass, n, pairs, probabilities, partial);
    s = pairs_pass_finish(&pass, s, l, turns, n, leaf, partial);
    if (!s && l->aligner) s = aligner_distance(l->aligner, &distance);
    partial->alignment += distance;
    partial->loss += l->settings.align.weight * distance;
    free(probabilities);
    return s;
}

const struct loss loss_interaction = {.name = "interaction",
                                      .of_pairs = true,
                                      .together = 2,
                                      .chunk = interaction_chunk,
                                      .refresh = loss_update_refresh};
