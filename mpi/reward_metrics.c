#include "mpi/reward_metrics.h"

#include <stddef.h>

void reward_metrics_list(const struct preference_metrics *measured, const char *prefix,
                         struct metric_list *out)
{
    const struct {
        const char *name;
        double value;
    } all[] = {{"accuracy", measured->accuracy},
               {"nll", measured->nll},
               {"ece", measured->ece},
               {"length_correlation", measured->length_correlation},
               {"longer_accuracy", measured->longer_accuracy},
               {"score", measured->score},
               {"score_deviation", measured->score_deviation},
               {"pairs", (double)measured->pairs}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        metric_list_add(out, all[i].value, "%s%s", prefix, all[i].name);
    for (int i = 0; i < PREFERENCE_BINS; i++) {
        const struct preference_bin *bin = &measured->bins[i];
        const int from = 50 + 50 * i / PREFERENCE_BINS;
        if (!bin->count) continue;
        metric_list_add(out, (double)bin->count, "%sbin_%d_count", prefix, from);
        metric_list_add(out, bin->confidence, "%sbin_%d_confidence", prefix, from);
        metric_list_add(out, bin->accuracy, "%sbin_%d_accuracy", prefix, from);
    }
}
