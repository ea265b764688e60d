/* The table of keys: one row a key gives the parser, --set, --help and the printout. */
#ifndef REGARD_BASE_CONFIG_KEYS_H
#define REGARD_BASE_CONFIG_KEYS_H

#include "src/base/config.h"

#include <stddef.h>

enum key_type { KEY_INTEGER, KEY_NUMBER, KEY_SWITCH, KEY_TEXT, KEY_CHOICE, KEY_LIST, KEY_WEIGHTS };
/* Whether a resumed run may have another value. */
enum key_resume {
    RESUME_SAME,
    RESUME_FREE,
    RESUME_FREE_BUT_SYNTHETIC, /* files may have moved; a generated set is its name */
    RESUME_CHANGE,             /* when --change asks for it */
    RESUME_UNLESS_SCHEDULE,    /* a limit; as RESUME_CHANGE where a schedule is reckoned from it */
    RESUME_UNLESS_PATIENCE     /* not where an early stop is reckoned from it */
};

struct config_key {
    const char *name;
    enum key_type type;
    size_t offset, size;      /* of the member; size: of a text or a list, in bytes */
    size_t count_offset;      /* of a list's int64_t count */
    double least, most;       /* inclusive, of integers, numbers, a list's items and weights */
    const char *choices;      /* "one|two", in the order of the enumeration */
    const char *default_text; /* YAML */
    const char *single_turn;  /* the default in task: single_turn, where it is another; or NULL */
    enum key_resume resume;
    const char *help;
    const char *refused; /* "value: why it is none", of a value that one may well try; or NULL */
};

extern const struct config_key config_keys[];
extern const int config_key_count;

/* The keys before a dot, and what they are about. */
struct config_section {
    const char *name, *help;
};
extern const struct config_section config_sections[];
extern const int config_section_count;

const struct config_key *config_key_find(const char *name); /* NULL: none */
bool config_section_exists(const char *name);
/* For people: "integer 1..100 [4]", "a|b|c [a]"; and what a resume allows. */
void config_key_type_print(const struct config_key *key, FILE *out);
const char *config_key_resume_words(const struct config_key *key);

/* Keys of another file than a configuration's, read by the same reader: `count` rows at `keys`,
 * whose members lie in a struct of `size` bytes.  None follows the task. */
struct key_table {
    const struct config_key *keys;
    int count;
    size_t size;
    const char *listed; /* where a reader finds them all: "see configs/cluster-example.yaml" */
};
extern const struct key_table config_table;
const struct config_key *keys_find(const struct key_table *table, const char *name); /* or NULL */
bool keys_section_exists(const struct key_table *table, const char *name);
/* `into` has the table's defaults already where it is read over them. */
void keys_defaults(const struct key_table *table, void *into);
status keys_read(const struct key_table *table, void *into, const char *path);
/* "name:weight,name": weights that are left out are 1.  An unknown name, one that is there twice
 * and a weight that is no number within the key's bounds are errors that begin with `where`. */
status config_weights_parse(const struct config_key *key, const char *where, const char *text,
                            struct config_weights *out);
void config_weights_print(const struct config_key *key, const struct config_weights *weights,
                          FILE *out);
/* The value as YAML. */
void config_value_print(const struct config *config, const struct config_key *key, FILE *out);
bool config_value_equal(const struct config *a, const struct config *b,
                        const struct config_key *key);
/* Whether its default is another in another task, and none was given. */
bool config_follows_task(const struct config *config, const struct config_key *key);

#endif
