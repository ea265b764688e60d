/* Which fits a probe makes; see fits.h. */
#include "src/probe/fits.h"

#include "src/base/memory.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct fit_validation *probe_fits_find(const struct probe_fits *fits, unsigned sets)
{
    for (int i = 0; i < fits->count; i++)
        if (fits->list[i].sets == sets) return &fits->list[i];
    return NULL;
}

static status fit_add(struct probe_data *data, const struct probe_settings *settings, unsigned sets,
                      struct probe_fits *out)
{
    char text[64], name[64];
    if (!sets || probe_fits_find(out, sets)) return NULL;
    struct fit_validation *one = &out->list[out->count];
    status s = fit_validate(&out->problem, sets, settings->sampling.seed, settings->threads, one);
    out->count++;
    if (s) return s;
    if (sets == out->there && __builtin_popcount(sets) > 1)
        snprintf(text, sizeof text, "all");
    else
        fit_sets_text(sets, text);
    snprintf(name, sizeof name, "fitted %.50s", text);
    double *column = probe_column_add(data, name, PROBE_FITTED, false);
    memcpy(column, one->score, (size_t)data->replies.count * sizeof *column);
    return NULL;
}

status probe_fits_make(struct probe_data *data, const struct probe_column *target,
                       const struct probe_settings *settings, struct probe_fits *out)
{
    const int64_t count = data->replies.count;
    *out = (struct probe_fits){0};
    /* Histories without the metric have no labels: all alike, they are not used. */
    double *label = memory_allocate((size_t)count * sizeof *label);
    for (int64_t h = 0; h < data->replies.history_count; h++) {
        bool there = true;
        for (int64_t i = data->replies.first[h]; i < data->replies.first[h + 1]; i++)
            there = there && isfinite(target->value[i]);
        for (int64_t i = data->replies.first[h]; there && i < data->replies.first[h + 1]; i++)
            label[i] = target->value[i];
    }
    fit_problem_create(&data->replies, label, settings->sampling.seed, &out->problem);
    free(label);
    if (!out->problem.used)
        FAIL(STATUS_INPUT,
             "--fit %s: no history has replies that differ in it beyond what their length "
             "explains; take %s",
             target->name,
             data->labelled ? "four replies or more of each history, with different labels"
                            : "more candidates, a higher temperature or other data");
    out->dialogue = memory_allocate((size_t)(out->problem.used + 1) * sizeof *out->dialogue);
    for (int64_t u = 0; u < out->problem.used; u++)
        out->dialogue[u] = data->replies.dialogue[out->problem.history[u]];
    for (int set = 0; set < FIT_SETS; set++)
        if (out->problem.scale[set] > 0) out->there |= 1u << set;
    for (int set = 0; set < FIT_SETS; set++)
        TRY(fit_add(data, settings, out->there & 1u << set, out));
    TRY(fit_add(data, settings, out->there, out));
    for (int set = 0; set < FIT_SETS; set++)
        TRY(fit_add(data, settings, out->there & ~(1u << set), out));
    const unsigned wanted = settings->sets & out->there;
    if (!wanted)
        FAIL(STATUS_INPUT, "probe.columns: none of these columns differs between the replies of a "
                           "history");
    TRY(fit_add(data, settings, wanted, out));
    const struct fit_validation *written = probe_fits_find(out, wanted);
    out->written = (int)(written - out->list);
    if (!fit_final(&out->problem, written, settings->shuffled, &out->fit))
        FAIL(STATUS_INPUT,
             "the fit gives all replies of a history the same: nothing to learn from");
    return NULL;
}

void probe_fits_free(struct probe_fits *fits)
{
    for (int i = 0; i < fits->count; i++) fit_validation_free(&fits->list[i]);
    fit_free(&fits->fit);
    fit_problem_free(&fits->problem);
    free(fits->dialogue);
    *fits = (struct probe_fits){0};
}
