#include "src/learn/preference.h"

#include <math.h>

static double sigmoid(double x)
{
    return x >= 0 ? 1 / (1 + exp(-x)) : exp(x) / (1 + exp(x));
}

static double log_sigmoid(double x)
{
    return x >= 0 ? -log1p(exp(-x)) : x - log1p(exp(x));
}

/* -(1 - smoothing) log sigmoid(x) - smoothing log sigmoid(-x), and its derivative. */
static double smoothed(double smoothing, double x, double *derivative)
{
    *derivative = sigmoid(x) - (1 - smoothing);
    return -(1 - smoothing) * log_sigmoid(x) - smoothing * log_sigmoid(-x);
}

struct preference_loss preference_bradley_terry(const struct preference_settings *settings,
                                                double right, double wrong)
{
    double by_distance;
    const double loss =
        smoothed(settings->smoothing, right - wrong - settings->margin, &by_distance);
    const double mean = (right + wrong) / 2;
    return (struct preference_loss){.loss = loss + settings->center * mean * mean,
                                    .by_right = by_distance + settings->center * mean,
                                    .by_wrong = -by_distance + settings->center * mean};
}

struct preference_loss preference_logistic(const struct preference_settings *settings, double right,
                                           double wrong)
{
    double by_right, by_wrong;
    const double loss = smoothed(settings->smoothing, right, &by_right) +
                        smoothed(settings->smoothing, -wrong, &by_wrong);
    return (struct preference_loss){loss / 2, by_right / 2, -by_wrong / 2};
}

double preference_decided(double x)
{
    return x > 0 ? 1 : x < 0 ? 0 : 0.5;
}

/* A decision whose right side was given the sigmoid of x. */
static void decision_add(struct preference_metrics *m, double x)
{
    const double p = sigmoid(x), confidence = p >= 0.5 ? p : sigmoid(-x);
    const double accuracy = preference_decided(x);
    int bin = (int)((confidence - 0.5) * 2 * PREFERENCE_BINS);
    if (bin >= PREFERENCE_BINS) bin = PREFERENCE_BINS - 1;
    m->bins[bin].count++;
    m->bins[bin].confidence += confidence;
    m->bins[bin].accuracy += accuracy;
    m->accuracy += accuracy;
    m->nll -= log_sigmoid(x);
}

static void bins_finish(struct preference_metrics *m, double decisions)
{
    for (int i = 0; i < PREFERENCE_BINS; i++) {
        struct preference_bin *bin = &m->bins[i];
        if (!bin->count) continue;
        bin->confidence /= (double)bin->count;
        bin->accuracy /= (double)bin->count;
        m->ece += (double)bin->count * fabs(bin->confidence - bin->accuracy) / decisions;
    }
}

/* Means, deviation and correlation of scores and tokens, in two passes. */
static void replies_measure(const struct preference_scores *pairs, int64_t count,
                            struct preference_metrics *m)
{
    const double n = 2 * (double)count;
    double tokens = 0, squares = 0, token_squares = 0, products = 0;
    for (int64_t i = 0; i < count; i++) {
        m->score += (pairs[i].right + pairs[i].wrong) / n;
        tokens += (double)(pairs[i].right_tokens + pairs[i].wrong_tokens) / n;
    }
    for (int64_t i = 0; i < 2 * count; i++) {
        const struct preference_scores *pair = &pairs[i / 2];
        const double s = (i % 2 ? pair->wrong : pair->right) - m->score;
        const double t = (double)(i % 2 ? pair->wrong_tokens : pair->right_tokens) - tokens;
        squares += s * s;
        token_squares += t * t;
        products += s * t;
    }
    m->score_deviation = sqrt(squares / n);
    if (squares > 0 && token_squares > 0)
        m->length_correlation = products / sqrt(squares * token_squares);
}

struct preference_metrics preference_measure(const struct preference_scores *pairs, int64_t count,
                                             bool apart)
{
    struct preference_metrics m = {.pairs = count};
    if (!count) return m;
    const double decisions = (double)count * (apart ? 2 : 1);
    for (int64_t i = 0; i < count; i++) {
        const struct preference_scores *pair = &pairs[i];
        m.longer_accuracy += preference_decided((double)(pair->right_tokens - pair->wrong_tokens));
        decision_add(&m, apart ? pair->right : pair->right - pair->wrong);
        if (apart) decision_add(&m, -pair->wrong);
    }
    m.longer_accuracy /= (double)count;
    m.accuracy /= decisions;
    m.nll /= decisions;
    bins_finish(&m, decisions);
    replies_measure(pairs, count, &m);
    return m;
}
