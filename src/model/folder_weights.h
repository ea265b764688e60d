/* The weight files of a Hugging Face folder: model.safetensors, or shards and their index. */
#ifndef REGARD_MODEL_FOLDER_WEIGHTS_H
#define REGARD_MODEL_FOLDER_WEIGHTS_H

#include "src/model/safetensors.h"

#include <stdbool.h>

struct folder_weights {
    int64_t count;
    struct safetensors **files;
};

/* Whether the folder holds weights in one of the two forms. */
bool folder_weights_exist(const char *folder);
/* The size of all *.safetensors in it. */
int64_t folder_weights_bytes(const char *folder);
/* Opens model.safetensors, or every shard that model.safetensors.index.json names; the index
 * and the shards must agree on where each tensor is. */
status folder_weights_open(const char *folder, struct folder_weights *out);
void folder_weights_close(struct folder_weights *weights);
/* NULL when no file holds it; *path: the file that does. */
const struct tensor *folder_weights_find(const struct folder_weights *weights, const char *name,
                                         const char **path);

#endif
