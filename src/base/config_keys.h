/* The table of keys: one row a key gives the parser, --set, --help and the printout. */
#ifndef REGARD_BASE_CONFIG_KEYS_H
#define REGARD_BASE_CONFIG_KEYS_H

#include "src/base/config.h"

#include <stddef.h>

enum key_type { KEY_INTEGER, KEY_NUMBER, KEY_SWITCH, KEY_TEXT, KEY_CHOICE, KEY_LIST };
/* Whether a resumed run may have another value. */
enum key_resume { RESUME_SAME, RESUME_FREE, RESUME_FREE_BUT_SYNTHETIC, RESUME_LIMIT };

struct config_key {
    const char *name;
    enum key_type type;
    size_t offset, size;      /* of the member; size counts a text's bytes */
    double least, most;       /* inclusive, of integers, numbers and a list's items */
    const char *choices;      /* "one|two", in the order of the enumeration */
    const char *default_text; /* YAML */
    enum key_resume resume;
    const char *help;
    const char *refused; /* "value: why it is none", of a value that one may well try; or NULL */
};

extern const struct config_key config_keys[];
extern const int config_key_count;

#endif
