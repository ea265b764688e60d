/* See tokenizer_files.h. */
#include "src/text/tokenizer_files.h"

#include "src/base/file.h"
#include "src/base/memory.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[] = {
    "tokenizer.json",    "tokenizer.model",     "tokenizer_config.json", "special_tokens_map.json",
    "added_tokens.json", "chat_template.jinja", "chat_template.json"};
enum { NAMES = sizeof names / sizeof *names };

status kept_files_read(const char *folder, struct kept_files *files)
{
    files->list = memory_allocate((NAMES + 1) * sizeof *files->list);
    for (int i = 0; i < NAMES; i++) {
        char path[PATH_MAX];
        struct kept_file *file = &files->list[files->count];
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        if (!file_exists(path)) continue;
        TRY(file_read(path, &file->data, &file->size));
        file->name = names[i];
        files->count++;
    }
    return NULL;
}

status kept_files_write(const struct kept_files *files, const char *folder)
{
    for (size_t i = 0; i < files->count; i++) {
        char path[PATH_MAX];
        snprintf(path, sizeof path, "%s/%s", folder, files->list[i].name);
        TRY(file_write(path, files->list[i].data, files->list[i].size));
    }
    return NULL;
}

void kept_files_free(struct kept_files *files)
{
    for (size_t i = 0; i < files->count; i++) free(files->list[i].data);
    free(files->list);
}

const struct kept_file *kept_files_find(const struct kept_files *files, const char *name)
{
    for (size_t i = 0; i < files->count; i++)
        if (!strcmp(files->list[i].name, name)) return &files->list[i];
    return NULL;
}

void kept_files_set(struct kept_files *files, const char *name, char *data, size_t size)
{
    size_t i = 0;
    while (i < files->count && strcmp(files->list[i].name, name) != 0) i++;
    if (i == files->count) files->list[files->count++] = (struct kept_file){name, NULL, 0};
    free(files->list[i].data);
    files->list[i].data = data;
    files->list[i].size = size;
}
