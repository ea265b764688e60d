/* See data_name.h. */
#include "src/base/data_name.h"

#include "src/base/suggest.h"

#include <string.h>
#include <unistd.h>

const char *const data_names[] = {"synthetic", "reverse", "story",       "slot",     "speakers",
                                  "reasoning", "nested",  "preferences", "evidence", NULL};

bool data_is_generated(const char *path)
{
    const size_t length = strcspn(path, ":");
    if (path[length] != ':') return false;
    for (int i = 0; data_names[i]; i++)
        if (strlen(data_names[i]) == length && !strncmp(path, data_names[i], length)) return true;
    return false;
}

status data_name_check(const char *path)
{
    char name[32];
    const size_t length = strcspn(path, ":");
    if (path[length] != ':' || length >= sizeof name || data_is_generated(path) ||
        access(path, F_OK) == 0)
        return NULL;
    memcpy(name, path, length);
    name[length] = 0;
    struct nearest nearest = nearest_begin(name);
    for (int i = 0; data_names[i]; i++) nearest_offer(&nearest, data_names[i]);
    if (!nearest.best) return NULL;
    FAIL(STATUS_INPUT, "cannot read %s: there is no such file; did you mean %s%s?", path,
         nearest.best, path + length);
}
