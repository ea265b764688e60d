/* The terms of one turn and their sum; see terms.h. */
#include "src/reward/terms.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

status reward_terms_compute(const struct reward_settings *settings, const struct reward_turn *turn,
                            double value[TERM_MAX])
{
    const bool empty = turn->reply_count == 0 || turn->visible == 0;
    for (int64_t t = 0; t < TERM_MAX; t++) {
        const bool there = t < settings->term_count,
                   given = there && reward_term_given(settings, t);
        if (!given) value[t] = 0;
        if (there && !given && !empty)
            TRY(settings->terms[t].term->compute(settings, turn, &value[t]));
        if (there && !isfinite(value[t]))
            FAIL(STATUS_INTERNAL,
                 "dialogue %" PRId64 ", turn %d, candidate %d: the term %s is not finite (%g); %s",
                 turn->key.dialogue, turn->key.turn, turn->key.candidate,
                 reward_term_name(settings, t), value[t],
                 given ? "that is no reward"
                       : "the attention that it is made of holds a number that is not finite");
    }
    return NULL;
}

void reward_terms_merge(const struct reward_settings *settings, const void *first, size_t stride,
                        int64_t count, double value[TERM_MAX])
{
    memcpy(value, first, TERM_MAX * sizeof *value);
    for (int64_t i = 1; i < count; i++) {
        double more[TERM_MAX];
        memcpy(more, (const char *)first + stride * (size_t)i, sizeof more);
        for (int t = 0; t < TERM_MAX; t++) value[t] += more[t];
    }
    for (int64_t t = 0; settings->block && t < settings->term_count; t++)
        if (settings->terms[t].term->compute) value[t] /= (double)count;
}

double reward_floor(const struct reward_settings *settings, int64_t turn, int64_t visible)
{
    if (settings->floor_form == FLOOR_NONE || visible < 1) return 0;
    double delta = settings->floor_delta0 + settings->floor_kappa * (double)(turn - 1);
    return fmin(delta, log((double)visible));
}

double reward_overlong(const struct reward_settings *settings, int64_t reply_count)
{
    if (settings->overlong == 0) return 0;
    const double most = (double)settings->max_new_tokens, last = settings->overlong * most;
    return fmin(1, fmax(0, ((double)reply_count - (most - last)) / last));
}

double reward_of_span(const struct reward_settings *settings, const double value[TERM_MAX],
                      const double divisors[TERM_MAX], int64_t begin, int64_t end)
{
    if (settings->length_only) return 0 - (double)(end - begin) / 64;
    double sum = 0;
    for (int64_t t = 0; t < settings->term_count; t++)
        sum += settings->terms[t].weight * (value[t] / (divisors ? divisors[t] : 1));
    return sum - (reward_overlong(settings, end) - reward_overlong(settings, begin));
}

double reward_combine(const struct reward_settings *settings, const double value[TERM_MAX],
                      const double divisors[TERM_MAX], int64_t reply_count)
{
    return reward_of_span(settings, value, divisors, 0, reply_count);
}
