/* The configuration's keys of probes; see settings.h. */
#include "src/probe/settings.h"

#include "src/base/config.h"
#include "src/fit/columns.h"

#include <stdio.h>

status probe_settings_of(const struct config *config, struct probe_settings *out)
{
    *out = (struct probe_settings){.sampling = rollout_settings_of(config),
                                   .histories = config->probe.histories,
                                   .shuffled = config->probe.shuffled,
                                   .threads = (int)config->threads};
    out->sampling.candidates = config->probe.candidates;
    out->sampling.random_salience = out->sampling.shuffled = false;
    snprintf(out->by, sizeof out->by, "%s", config->probe.by);
    snprintf(out->kind, sizeof out->kind, "%s", config->probe.kind);
    return fit_sets_parse(config->probe.columns, "probe.columns", &out->sets);
}

status probe_settings_fit(struct probe_settings *settings, const struct config *config,
                          const struct model_shape *shape, const struct tokenizer *tokenizer)
{
    const struct rollout_settings own = settings->sampling;
    TRY(rollout_settings_fit(&settings->sampling, config, shape, tokenizer));
    settings->sampling.random_salience = own.random_salience;
    settings->sampling.shuffled = own.shuffled;
    return NULL;
}
