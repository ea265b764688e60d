/* See speakers.h. */
#include "src/rollout/speakers.h"

#include "src/base/choices.h"

_Static_assert((int)SPEAKERS_MAX == (int)STATISTICS_SPEAKERS, "every speaker has its numbers");

/* As the term coverage has it (docs/reward.md, Terms), of a part of I. */
static double coverage_of(int form, double mass, double salient, double visible)
{
    if (salient == 0) return 0;
    return form == COVERAGE_MASS ? mass : mass / salient * (form == COVERAGE_LIFT ? visible : 1);
}

bool speakers_read(const struct statistics *statistics, int coverage_form,
                   const struct speaker_history *history, struct speaker_attention *out)
{
    const int row = statistics_find(statistics->table, "speaker_mass");
    *out = (struct speaker_attention){
        .asking = -1, .coverage_form = coverage_form, .visible = (double)history->visible};
    if (row < 0 || !history->speaker || !history->count) return false;
    const float *numbers = statistics_floats(statistics, row);
    const uint8_t last = history->turn_of[history->count - 1];
    for (int64_t i = 0; i < history->count; i++) {
        const int k = history->speaker[i] - 1;
        if (k < 0) continue;
        if (k >= out->count) out->count = k + 1;
        out->salient[k] += history->salient[i];
        if (history->turn_of[i] == last) out->asking = k;
    }
    for (int k = 0; k < out->count; k++) {
        out->salient_mass[k] = (double)numbers[2 * k + 1];
        out->mass[k] = (double)numbers[2 * k] + out->salient_mass[k];
        out->coverage[k] =
            coverage_of(coverage_form, out->salient_mass[k], out->salient[k], out->visible);
    }
    return out->count > 0;
}

bool speakers_of_turn(const struct experience_turn *turn, int coverage_form,
                      struct speaker_attention *out)
{
    const struct speaker_history history = {.speaker = turn->speaker,
                                            .salient = turn->salient,
                                            .turn_of = turn->turn_of,
                                            .count = turn->history_length,
                                            .visible = turn->visible_count};
    return speakers_read(&turn->statistics, coverage_form, &history, out);
}

bool speakers_part(const struct speaker_attention *all, double mass[2], double coverage[2])
{
    double salient_mass = 0, salient = 0;
    if (all->asking < 0 || all->count < 2) return false;
    mass[0] = all->mass[all->asking];
    coverage[0] = all->coverage[all->asking];
    mass[1] = 0;
    for (int k = 0; k < all->count; k++) {
        if (k == all->asking) continue;
        mass[1] += all->mass[k];
        salient_mass += all->salient_mass[k];
        salient += all->salient[k];
    }
    coverage[1] = coverage_of(all->coverage_form, salient_mass, salient, all->visible);
    return true;
}
