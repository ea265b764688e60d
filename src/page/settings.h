/* A YAML file of settings as a flat list of keys and texts, in the file's order, whatever keys
 * there are: runs of other versions of this program have others. */
#ifndef REGARD_PAGE_SETTINGS_H
#define REGARD_PAGE_SETTINGS_H

#include "src/base/status.h"

#include <stddef.h>
#include <stdint.h>

struct setting {
    char *key, *value; /* "policy.lr"; a list is "[1, 2]" */
};

struct setting_list {
    int64_t count;
    struct setting *list;
};

/* name stands for the file's in errors. */
status settings_read(const char *name, const char *text, size_t size, struct setting_list *out);
/* Those of this program's defaults. */
status settings_default(struct setting_list *out);
void settings_free(struct setting_list *settings);

#endif
