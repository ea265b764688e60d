/* score --maps: an HDF5 file of whole attention maps. */
#ifndef REGARD_TOOLS_MAPS_FILE_H
#define REGARD_TOOLS_MAPS_FILE_H

#include "src/checkpoint/store.h"
#include "src/rollout/attention_maps.h"

/* Written beside its name, which it gets when it is whole. */
struct maps_file {
    struct store *store;
    char path[1024], temporary[1088];
    int64_t records, maps, bytes; /* so far; records count those without a map too */
};

status maps_file_begin(struct maps_file *file, const char *path);
/* The next record's: of a reply without tokens there is none. */
status maps_file_add(struct maps_file *file, struct generator *generator,
                     const struct rollout_settings *settings, const struct prompt *prompts,
                     const struct reply_row *row, const struct given_reply *given);
/* s: how it went; where it is not NULL the file goes away, and s is returned. */
status maps_file_end(struct maps_file *file, status s);

#endif
