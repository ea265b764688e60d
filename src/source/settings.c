/* The configuration's keys of sources; see settings.h. */
#include "src/source/settings.h"

#include "src/base/config.h"

struct source_settings source_settings_of(const struct config *config)
{
    return (struct source_settings){.seed = config->seed};
}
