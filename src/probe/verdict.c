/* From figures to verdicts; see verdict.h.  A figure counts from 3 standard errors on, since many
 * sources and metrics are looked at together; from 2 on it is a hint. */
#include "src/probe/verdict.h"

#include <math.h>

const char *const verdict_names[] = {"itself", "teaches", "hint",    "length",
                                     "same",   "nothing", "against", "too few dialogues",
                                     "unknown"};

/* Below this share within histories nothing is left for a group advantage but rounding and chance.
 */
#define SHARE_LEAST 1e-3

/* NaN: there is no such figure, or all dialogues have the same but for rounding, which tells
 * nothing of its error. */
static double errors(const struct figure *figure)
{
    if (figure->value == 0) return 0;
    return figure->error > 1e-9 * fabs(figure->value) ? figure->value / figure->error : NAN;
}

enum verdict verdict_of(const struct source_figures *source, const struct pair_figures *pair,
                        bool control)
{
    if (pair->dialogues < VERDICT_DIALOGUES) return VERDICT_FEW;
    if (!isfinite(source->within.value) || source->within.value < SHARE_LEAST ||
        source->varied == 0)
        return VERDICT_SAME;
    if (!control && pair->pairs >= VERDICT_PAIRS && pair->pairs_right.value > 0.9999)
        return VERDICT_ITSELF;
    const double without = errors(&pair->without_length), gain = errors(&pair->gain);
    const double with = errors(&pair->correlation);
    if (fabs(source->length.value) > 0.9999) return VERDICT_LENGTH;
    if (isnan(without) || isnan(with) || isnan(gain)) return VERDICT_UNKNOWN;
    if (without > 3 && gain > 2) return VERDICT_TEACHES;
    if (without < -3) return VERDICT_AGAINST;
    if (fabs(with) > 3 && fabs(without) < 2) return VERDICT_LENGTH;
    if (without > 2 && gain > 0) return VERDICT_HINT;
    return VERDICT_NOTHING;
}

const char *verdict_scale(const struct source_figures *source)
{
    return source->within.value < 0.5 ? "reward.scale: within, advantage: group"
                                      : "reward.scale: running or within, advantage: group";
}
