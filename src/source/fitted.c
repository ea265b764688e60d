/* fitted: a checker learned from labelled replies, the fit.json that regard probe --fit wrote
 * (reward.fit). */
#include "src/source/source.h"

#include "src/base/memory.h"
#include "src/fit/fit_file.h"

#include <stdlib.h>

static status open_fit(const struct source_settings *settings, void **state)
{
    struct fit *fit = memory_allocate(sizeof *fit);
    struct fit_about about;
    status s = fit_read(settings->fit, fit, &about);
    if (!s && fit->layout.statistic_count && !settings->all_heads) {
        s = ERROR(
            STATUS_INPUT,
            "reward.fit: %s has columns of every head's attention; set attention.all_heads=true",
            settings->fit);
        fit_free(fit);
    }
    if (s)
        free(fit);
    else
        *state = fit;
    return s;
}

static status compute(void *state, const struct source_reply *replies, int64_t count,
                      double *values, struct source_spans *spans)
{
    const struct fit *fit = state;
    (void)spans;
    double *dense = memory_allocate((size_t)fit_layout_width(&fit->layout) * sizeof *dense);
    status s = NULL;
    for (int64_t i = 0; !s && i < count; i++) {
        const struct source_reply *one = &replies[i];
        const struct fit_reply reply = {.messages = one->messages,
                                        .message_count = one->message_count,
                                        .text = one->text,
                                        .logp = one->logp,
                                        .token_entropy = one->token_entropy,
                                        .count = one->count,
                                        .statistics = one->statistics};
        struct word_bag bag = {0};
        s = fit_columns(&fit->layout, &reply, dense, &bag);
        if (!s) values[i] = fit_score(fit, dense, &bag, (double)one->count);
        word_bag_free(&bag);
    }
    free(dense);
    return s ? status_context(s, "reward.fit") : NULL;
}

static void close_fit(void *state)
{
    fit_free(state);
    free(state);
}

const struct source source_fitted = {.name = "fitted",
                                     .needs = SOURCE_NEEDS_TEXT,
                                     .open = open_fit,
                                     .compute = compute,
                                     .close = close_fit};
