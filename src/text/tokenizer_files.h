/* Files of a tokenizer's folder that are kept as they are, to be written again. */
#ifndef REGARD_TEXT_TOKENIZER_FILES_H
#define REGARD_TEXT_TOKENIZER_FILES_H

#include "src/base/status.h"

#include <stddef.h>

struct kept_file {
    const char *name;
    char *data;
    size_t size;
};
struct kept_files {
    struct kept_file *list;
    size_t count;
};
/* Those of tokenizer.json, tokenizer.model, tokenizer_config.json, special_tokens_map.json,
 * added_tokens.json and the chat templates that the folder has. */
status kept_files_read(const char *folder, struct kept_files *files);
status kept_files_write(const struct kept_files *files, const char *folder);
void kept_files_free(struct kept_files *files);
/* NULL where it is not there. */
const struct kept_file *kept_files_find(const struct kept_files *files, const char *name);
/* Takes over data (malloc'ed), in the place of the file of that name, one of those above. */
void kept_files_set(struct kept_files *files, const char *name, char *data, size_t size);

#endif
