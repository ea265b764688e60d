/* Parts of config_check (config.h). */
#ifndef REGARD_BASE_CONFIG_CHECK_H
#define REGARD_BASE_CONFIG_CHECK_H

#include "src/base/config.h"

/* Of `train`: keys of advantages, losses and the reference that would do nothing beside others. */
status config_check_learning(const struct config *config);

#endif
