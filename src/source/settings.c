/* The configuration's keys of sources; see settings.h. */
#include "src/source/settings.h"

#include "src/base/config.h"

#include <string.h>

_Static_assert((int)SOURCE_TEXT_MAX == (int)CONFIG_TEXT_MAX, "texts of keys must fit");

struct source_settings source_settings_of(const struct config *config)
{
    struct source_settings settings = {.seed = config->seed,
                                       .verify_form = config->verifier.form,
                                       .verify_extract = config->verifier.extract,
                                       .all_heads = config->attention.all_heads,
                                       .command_seconds = config->reward.command_seconds};
    memcpy(settings.plugin, config->reward.plugin, sizeof settings.plugin);
    memcpy(settings.command, config->reward.command, sizeof settings.command);
    memcpy(settings.format, config->reward.format, sizeof settings.format);
    memcpy(settings.fit, config->reward.fit, sizeof settings.fit);
    return settings;
}
