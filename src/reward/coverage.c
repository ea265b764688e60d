/* Coverage: how much attention the salient tokens of the history get, (1/S) sum_s mass[s] / |I|;
 * coverage.form `mass` without 1/|I|, `lift` times |V|/|I|; 0 where nothing is salient. */
#include "src/reward/settings.h"

static status coverage(const struct reward_settings *settings, const struct reward_turn *turn,
                       double *value)
{
    *value = 0;
    if (turn->salient == 0) return NULL;
    *value = term_mean(turn->salient_mass, turn->reply_count);
    if (settings->coverage_form == COVERAGE_LIFT) *value *= (double)turn->visible;
    if (settings->coverage_form != COVERAGE_MASS) *value /= (double)turn->salient;
    return NULL;
}

const struct term term_coverage = {"coverage", coverage};
