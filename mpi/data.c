/* See data.h. */
#include "mpi/data.h"

static bool permuted(const struct config *config)
{
    return config->control == CONTROL_PERMUTED_NAMES;
}

status data_read(const struct config *config, const char *path, enum dataset_need need,
                 struct dataset **out)
{
    TRY(dataset_read(path, need, out));
    status s = permuted(config) ? dataset_permute_names(*out, config->seed) : NULL;
    if (!s) return NULL;
    dataset_free(*out);
    *out = NULL;
    return s;
}

status data_read_labelled(const struct config *config, const char *path, const char *field,
                          struct labelled **out)
{
    TRY(labelled_read(path, field, out));
    status s = permuted(config) ? dataset_permute_names(&(*out)->histories, config->seed) : NULL;
    if (!s) return NULL;
    labelled_free(*out);
    *out = NULL;
    return s;
}

status data_read_preferences(const struct config *config, const char *path,
                             struct preferences **out)
{
    if (permuted(config))
        FAIL(STATUS_INPUT,
             "%s: control: permuted_names changes names in dialogues, not in preferences; leave it "
             "out",
             path);
    return preferences_read(path, out);
}
