/* See learner_vectors.h. */
#include "mpi/learner_vectors.h"

/* Of reference.every: where the reference now stands. */
static int64_t reference_vector(const struct learner *learner, int64_t count,
                                struct learner_vector out[LEARNER_VECTORS_MAX])
{
    if (!learner->settings.reference_every) return count;
    const struct optimizer *like = learner->policy_optimizer; /* as many, in the same slices */
    float *values = model_trained(learner->reference)->values;
    out[count] = (struct learner_vector){"reference.values", values + like->begin, values, like};
    return count + 1;
}

int64_t learner_vectors(const struct learner *learner,
                        struct learner_vector out[LEARNER_VECTORS_MAX])
{
    const struct optimizer *policy = learner->policy_optimizer, *critic = learner->critic_optimizer;
    out[0] = (struct learner_vector){"policy.m", policy->m, NULL, policy};
    out[1] = (struct learner_vector){"policy.v", policy->v, NULL, policy};
    if (!critic) return reference_vector(learner, 2, out);
    float *values = learner->critic_parameters->values;
    out[2] = (struct learner_vector){"critic.values", values + critic->begin, values, critic};
    out[3] = (struct learner_vector){"critic.m", critic->m, NULL, critic};
    out[4] = (struct learner_vector){"critic.v", critic->v, NULL, critic};
    return reference_vector(learner, 5, out);
}
