/* See layout.h. */
#include "src/checkpoint/layout.h"

#include "src/base/file.h"
#include "src/base/memory.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { LONG_PATH = CHECKPOINT_PATH_MAX + 128 };

void checkpoint_folder(const char *run, int64_t step, char out[CHECKPOINT_PATH_MAX])
{
    snprintf(out, CHECKPOINT_PATH_MAX, "%s/checkpoints/step-%06lld", run, (long long)step);
}

void checkpoint_temporary(const char *run, int64_t step, char out[CHECKPOINT_PATH_MAX])
{
    snprintf(out, CHECKPOINT_PATH_MAX, "%s/checkpoints/step-%06lld.tmp", run, (long long)step);
}

void checkpoint_slice_name(int learner, int learners, char out[CHECKPOINT_NAME_MAX])
{
    snprintf(out, CHECKPOINT_NAME_MAX, "learner-%04d-of-%04d.h5", learner, learners);
}

const char *const checkpoint_text_files[] = {"spiece.model",
                                             "tokenizer_config.json",
                                             "special_tokens_map.json",
                                             "tokenizer.json",
                                             "tokenizer.model",
                                             "chat_template.jinja",
                                             "chat_template.json",
                                             "added_tokens.json",
                                             "generation_config.json",
                                             "idf.tsv",
                                             NULL};

bool checkpoint_is_read(const char *name)
{
    const char *ending = strrchr(name, '.');
    if ((ending && !strcmp(ending, ".h5")) || !strcmp(name, CHECKPOINT_VALUE_HEAD) ||
        !strcmp(name, CHECKPOINT_TIMED_STUB))
        return true;
    for (size_t i = 0; checkpoint_text_files[i]; i++)
        if (!strcmp(name, checkpoint_text_files[i])) return true;
    return false;
}

status checkpoint_file_entry(const char *folder, const char *name, struct checkpoint_file *out)
{
    char path[LONG_PATH];
    struct stat about;
    memset(out, 0, sizeof *out);
    snprintf(path, sizeof path, "%s/%s", folder, name);
    if (strlen(name) >= sizeof out->name) FAIL(STATUS_INPUT, "%s: name too long", path);
    if (stat(path, &about) != 0) FAIL(STATUS_INPUT, "cannot read %s: %s", path, strerror(errno));
    snprintf(out->name, sizeof out->name, "%s", name);
    out->size = about.st_size;
    return sha256_file(path, out->sha256);
}

status checkpoint_list_files(const char *folder, struct checkpoint_file **out, int64_t *count)
{
    struct dirent **list;
    *out = NULL;
    *count = 0;
    int found = scandir(folder, &list, NULL, alphasort);
    if (found < 0) FAIL(STATUS_INPUT, "cannot list %s: %s", folder, strerror(errno));
    status s = NULL;
    *out = memory_allocate((size_t)found * sizeof **out + 1);
    for (int i = 0; i < found; i++) {
        const char *name = list[i]->d_name;
        bool skip = !strcmp(name, ".") || !strcmp(name, "..") || !strcmp(name, "manifest.json");
        if (!skip && !s) s = checkpoint_file_entry(folder, name, &(*out)[*count]);
        if (!skip && !s) ++*count;
        free(list[i]);
    }
    free(list);
    if (s) {
        free(*out);
        *out = NULL;
    }
    return s;
}
