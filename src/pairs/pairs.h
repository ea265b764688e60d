/* Preferences between a model's replies, made by a rule (regard pairs). */
#ifndef REGARD_PAIRS_PAIRS_H
#define REGARD_PAIRS_PAIRS_H

#include "src/probe/settings.h"
#include "src/rollout/generate.h"
#include "src/rollout/language.h"
#include "src/source/source.h"

#include <stdio.h>

struct pairs_settings {
    struct probe_settings asked; /* how replies are sampled, and to how many histories */
    int heuristic;               /* enum pairs_heuristic */
    double margin;
    int64_t per_history;
    const char *marker;  /* of an answer, behind the steps */
    const char *gold_by; /* who wrote the data's replies: "human", or "program" */
};

struct config;
/* sampling: fitted to the model; data: whose lines are to be answered.  Both must outlive it. */
struct pairs_settings pairs_settings_of(const struct config *config,
                                        const struct rollout_settings *sampling, const char *data);

struct pairs_counts {
    int64_t histories, without, overlong, pairs; /* without: no two replies make a pair */
};
/* Writes a JSON line a pair, as src/data/preferences.h reads them; sources: the verifier alone,
 * where the heuristic is that.  No pair at all is an error. */
status pairs_make(struct generator *generator, const struct pairs_settings *settings,
                  const struct language *language, const struct dataset *data,
                  struct source_set *sources, FILE *out, struct pairs_counts *counts);

#endif
