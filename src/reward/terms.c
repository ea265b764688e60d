/* The reward terms of one turn, means in float64 over ascending decoding steps. */
#include "src/reward/terms.h"

#include "src/reward/ngrams.h"

#include <inttypes.h>
#include <math.h>

const char *const reward_term_name[TERM_COUNT] = {"coverage", "focus", "rep_hist", "rep_self"};

double reward_terms_get(const struct reward_terms *terms, enum reward_term term)
{
    switch (term) {
    case TERM_COVERAGE:
        return terms->coverage;
    case TERM_FOCUS:
        return terms->focus;
    case TERM_REP_HIST:
        return terms->rep_hist;
    default:
        return terms->rep_self;
    }
}

static double mean(const float *values, int64_t count)
{
    double sum = 0;
    for (int64_t i = 0; i < count; i++) sum += (double)values[i];
    return sum / (double)count;
}

/* coverage = (1/S) sum_s mass[s] / |I|; `mass` without 1/|I|; `lift` times |V|/|I|. */
static double coverage(int form, const struct reward_turn *turn)
{
    if (turn->salient == 0) return 0;
    double mass = mean(turn->salient_mass, turn->reply_count);
    if (form == COVERAGE_MASS) return mass;
    if (form == COVERAGE_LIFT) return mass * (double)turn->visible / (double)turn->salient;
    return mass / (double)turn->salient;
}

/* focus = -(1/S) sum_s ent[s]; `normalized` over log|V|, 1 where |V| = 1. */
static double focus(int form, const struct reward_turn *turn)
{
    double entropy = mean(turn->entropy_floored, turn->reply_count);
    if (form == FOCUS_NORMALIZED && turn->visible > 1) entropy /= log((double)turn->visible);
    return 0 - entropy;
}

status reward_terms_compute(const struct config *config, const struct reward_turn *turn,
                            struct reward_terms *out)
{
    *out = (struct reward_terms){0};
    if (turn->reply_count == 0 || turn->visible == 0) return NULL;
    out->coverage = coverage(config->coverage.form, turn);
    out->focus = focus(config->focus.form, turn);
    TRY(ngram_share_in_history(turn->reply, turn->reply_count, turn->history, turn->history_count,
                               config->repetition.n, &out->rep_hist));
    TRY(ngram_share_repeated(turn->reply, turn->reply_count, config->repetition.n, &out->rep_self));
    for (int term = 0; term < TERM_COUNT; term++) {
        double value = reward_terms_get(out, (enum reward_term)term);
        if (!isfinite(value))
            FAIL(STATUS_INTERNAL,
                 "dialogue %" PRId64 ", turn %d, candidate %d: the term %s is not finite (%g); "
                 "the attention that it is made of holds a number that is not finite",
                 turn->key.dialogue, turn->key.turn, turn->key.candidate, reward_term_name[term],
                 value);
    }
    return NULL;
}

double reward_floor(const struct config *config, int64_t turn, int64_t visible)
{
    if (config->floor.form == FLOOR_NONE || visible < 1) return 0;
    double delta = config->floor.delta0 + config->floor.kappa * (double)(turn - 1);
    return fmin(delta, log((double)visible));
}

double reward_combine(const struct config *config, const struct reward_terms *terms,
                      const double divisors[TERM_COUNT], int64_t reply_count)
{
    if (config->control == CONTROL_LENGTH) return 0 - (double)reply_count / 64;
    static const double ones[TERM_COUNT] = {1, 1, 1, 1};
    const double *d = divisors ? divisors : ones;
    return config->reward.alpha * (terms->coverage / d[TERM_COVERAGE]) +
           config->reward.beta * (terms->focus / d[TERM_FOCUS]) -
           config->reward.gamma * (terms->rep_hist / d[TERM_REP_HIST]) -
           config->reward.gamma_self * (terms->rep_self / d[TERM_REP_SELF]);
}
