/* Reading data by a configuration: as the layer below does, then with the users' names permuted
 * where control: permuted_names says so. */
#ifndef REGARD_MPI_DATA_H
#define REGARD_MPI_DATA_H

#include "src/base/config.h"
#include "src/data/dialogue.h"
#include "src/data/labelled.h"
#include "src/data/preferences.h"

/* dataset_read, labelled_read and preferences_read; the control refuses preferences. */
status data_read(const struct config *config, const char *path, enum dataset_need need,
                 struct dataset **out);
status data_read_labelled(const struct config *config, const char *path, const char *field,
                          struct labelled **out);
status data_read_preferences(const struct config *config, const char *path,
                             struct preferences **out);

#endif
