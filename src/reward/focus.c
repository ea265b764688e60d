/* Focus: how little the attention is spread, -(1/S) sum_s ent[s]; focus.form `normalized` over
 * log|V|, 1 where |V| = 1. */
#include "src/reward/settings.h"

#include <math.h>

static status focus(const struct reward_settings *settings, const struct reward_turn *turn,
                    double *value)
{
    double entropy = term_mean(turn->entropy_floored, turn->reply_count);
    if (settings->focus_form == FOCUS_NORMALIZED && turn->visible > 1)
        entropy /= log((double)turn->visible);
    *value = 0 - entropy;
    return NULL;
}

const struct term term_focus = {"focus", focus};
