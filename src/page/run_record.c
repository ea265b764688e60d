/* What is known of a run; see run_record.h. */
#include "src/page/run_record.h"

#include "src/base/memory.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NOTES_MAX = 20 };

void run_note(struct run_record *run, const char *format, ...)
{
    if (run->note_count > NOTES_MAX) return;
    char text[600];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    run->notes = memory_resize(run->notes, ((size_t)run->note_count + 1) * sizeof *run->notes);
    run->notes[run->note_count] =
        memory_text(run->note_count == NOTES_MAX ? "and more of the kind" : text);
    run->note_count++;
}

const struct run_column *run_column_find(const struct run_record *run, const char *name)
{
    for (int64_t i = 0; i < run->columns; i++)
        if (!strcmp(run->column[i].name, name)) return &run->column[i];
    return NULL;
}

void run_record_free(struct run_record *run)
{
    if (!run) return;
    settings_free(&run->settings);
    for (int64_t c = 0; c < run->columns; c++) {
        free(run->column[c].name);
        free(run->column[c].value);
    }
    for (int64_t i = 0; i < run->note_count; i++) free(run->notes[i]);
    free(run->notes);
    json_decref(run->by_rank);
    free(run->column);
    free(run->step);
    free(run->about);
    free(run->path);
    free(run->name);
    free(run);
}

/* The last `folders` parts of a path. */
static const char *path_end(const char *path, int folders)
{
    const char *at = path + strlen(path);
    while (at > path && folders > 0)
        if (*--at == '/' && --folders == 0) return at + 1;
    return at;
}

void run_records_name(struct run_record *const *runs, int64_t count)
{
    enum { FOLDERS_MAX = 16 };
    for (int64_t i = 0; i < count; i++) {
        int folders = 1;
        for (int64_t k = 0; k < count && folders < FOLDERS_MAX; k++)
            while (k != i && folders < FOLDERS_MAX &&
                   !strcmp(path_end(runs[i]->path, folders), path_end(runs[k]->path, folders)))
                folders++;
        free(runs[i]->name);
        runs[i]->name = memory_text(path_end(runs[i]->path, folders));
    }
}
