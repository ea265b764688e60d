/* See data_name.h. */
#include "src/base/data_name.h"

#include <string.h>

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
