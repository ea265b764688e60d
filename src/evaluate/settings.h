/* What an evaluation is made with.  Made at the edge from the configuration; settings.c alone of
 * this folder knows it. */
#ifndef REGARD_EVALUATE_SETTINGS_H
#define REGARD_EVALUATE_SETTINGS_H

#include "src/rollout/settings.h"

/* Both without controls: true salience, and the terms' reward. */
struct evaluate_settings {
    struct rollout_settings sampling; /* at eval.temperature */
    struct rollout_settings scoring;  /* of the gold replies, at temperature 1 */
    bool own_history;                 /* replies to the model's own earlier ones */
    bool states, on_topic;            /* metrics by eval.encoder, eval.on_topic */
};

struct config;
struct evaluate_settings evaluate_settings_of(const struct config *config);
/* See rollout_settings_fit. */
status evaluate_settings_fit(struct evaluate_settings *settings, const struct config *config,
                             const struct model_shape *shape, const struct tokenizer *tokenizer);

#endif
