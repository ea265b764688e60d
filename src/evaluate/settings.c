/* The configuration's keys of evaluation; see settings.h. */
#include "src/evaluate/settings.h"

#include "src/base/config.h"

struct evaluate_settings evaluate_settings_of(const struct config *config)
{
    struct evaluate_settings settings = {.sampling = rollout_settings_of(config)};
    settings.sampling.shuffled = settings.sampling.random_salience = false;
    settings.sampling.reward.length_only = false;
    settings.sampling.temperature = config->eval.temperature;
    settings.own_history = config->eval.history == EVAL_HISTORY_OWN;
    settings.states = config->eval.encoder[0] != 0;
    settings.on_topic = config->eval.on_topic[0] != 0;
    settings.scoring = settings.sampling;
    settings.scoring.temperature = 1;
    return settings;
}

status evaluate_settings_fit(struct evaluate_settings *settings, const struct config *config,
                             const struct model_shape *shape, const struct tokenizer *tokenizer)
{
    TRY(rollout_settings_fit(&settings->sampling, config, shape, tokenizer));
    return rollout_settings_fit(&settings->scoring, config, shape, tokenizer);
}
