/* Weights of a reply's tokens; see token_credit.h. */
#include "src/reward/token_credit.h"

#include "src/base/choices.h"
#include "src/base/philox.h"
#include "src/reward/blocks.h"

static double mean_of(const double *values, int64_t count)
{
    double sum = 0;
    for (int64_t i = 0; i < count; i++) sum += values[i];
    return sum / (double)count;
}

double token_mean(const float *values, const uint8_t *marks, int64_t count)
{
    double sum = 0;
    int64_t learned = 0;
    for (int64_t i = 0; i < count; i++) {
        if (token_forced(marks, i)) continue;
        sum += (double)values[i];
        learned++;
    }
    return learned ? sum / (double)learned : 0;
}

/* weights[count]: entropies before. */
static void weigh_by_entropy(double *weights, int64_t count)
{
    const double mean = mean_of(weights, count), least = 0.2 * mean, most = 3 * mean;
    for (int64_t i = 0; i < count; i++)
        weights[i] = weights[i] < least ? least : weights[i] > most ? most : weights[i];
    const double clipped = mean_of(weights, count);
    for (int64_t i = 0; i < count; i++) weights[i] = clipped > 0 ? weights[i] / clipped : 1;
}

/* Fisher-Yates: place i gets one of places [i, count), by the high half of word * (count - i). */
static void shuffle(int64_t seed, const struct turn_key *reply, double *weights, int64_t count)
{
    uint32_t key[2], words[4] = {0};
    philox_key((uint64_t)seed, RANDOM_CREDIT, key);
    for (int64_t i = 0; i < count; i++) {
        const uint32_t counter[4] = {(uint32_t)reply->dialogue, (uint32_t)reply->turn,
                                     (uint32_t)reply->candidate, (uint32_t)(i / 4)};
        if (i % 4 == 0) philox4x32(counter, key, words);
        const int64_t j = i + (int64_t)(((uint64_t)words[i % 4] * (uint64_t)(count - i)) >> 32);
        const double kept = weights[i];
        weights[i] = weights[j];
        weights[j] = kept;
    }
}

void token_credit(int form, int64_t seed, const struct turn_key *reply, const float *entropy,
                  const uint8_t *marks, int64_t count, double *weights)
{
    int64_t learned = 0;
    for (int64_t i = 0; i < count; i++)
        if (!token_forced(marks, i))
            weights[learned++] = form == CREDIT_UNIFORM ? 1 : (double)entropy[i];
    if (learned && form != CREDIT_UNIFORM) weigh_by_entropy(weights, learned);
    if (form == CREDIT_RANDOM) shuffle(seed, reply, weights, learned);
    for (int64_t i = count; i-- > 0;) weights[i] = token_forced(marks, i) ? 0 : weights[--learned];
}
