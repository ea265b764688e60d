/* What a probe is made with.  Made at the edge from the configuration; settings.c alone of this
 * folder knows it. */
#ifndef REGARD_PROBE_SETTINGS_H
#define REGARD_PROBE_SETTINGS_H

#include "src/rollout/settings.h"

enum { PROBE_TEXT_MAX = 1024 };

struct probe_settings {
    struct rollout_settings sampling;
    int64_t histories; /* at most; 0: all */
    char
        by[PROBE_TEXT_MAX]; /* the data line's field that names the kind of question; empty: none */
    char
        kind[PROBE_TEXT_MAX]; /* a regular expression: what it finds first in a reply is its kind */
    unsigned sets;            /* of columns that fit.json is made of */
    bool shuffled;            /* fit.json is of labels shuffled within histories */
    int threads;
};

struct config;
/* STATUS_INPUT where probe.columns names no sets. */
status probe_settings_of(const struct config *config, struct probe_settings *out);
/* See rollout_settings_fit. */
status probe_settings_fit(struct probe_settings *settings, const struct config *config,
                          const struct model_shape *shape, const struct tokenizer *tokenizer);

#endif
