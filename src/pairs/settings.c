/* The configuration's keys of pairs; see pairs.h. */
#include "src/base/config.h"
#include "src/base/data_name.h"
#include "src/pairs/pairs.h"

struct pairs_settings pairs_settings_of(const struct config *config,
                                        const struct rollout_settings *sampling, const char *data)
{
    return (struct pairs_settings){
        .asked = {.sampling = *sampling, .histories = config->pairs.histories},
        .heuristic = config->pairs.heuristic,
        .margin = config->pairs.margin,
        .per_history = config->pairs.per_history,
        .marker = config->cot.answer_marker,
        .gold_by = data_is_generated(data) ? "program" : "human"};
}
