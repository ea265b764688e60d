/* Samples for the page; see samples.h. */
#include "src/page/samples.h"

#include "src/base/file.h"
#include "src/base/memory.h"
#include "src/page/sample_step.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

/* A step's file. */
struct step_file {
    int64_t step;
    bool taken; /* asked for, whether it fitted or not */
    char *json;
    size_t size;
};

struct step_files {
    int64_t count;
    struct step_file *list;
};

static int step_order(const void *a, const void *b)
{
    const struct step_file *one = a, *other = b;
    return (one->step > other->step) - (one->step < other->step);
}

static void files_list(const struct run_record *run, struct step_files *files)
{
    char path[1200];
    snprintf(path, sizeof path, "%s/samples", run->path);
    *files = (struct step_files){0};
    DIR *folder = opendir(path);
    if (!folder) return; /* none were written */
    for (struct dirent *entry; (entry = readdir(folder));) {
        long long step;
        int used = 0;
        if (sscanf(entry->d_name, "step-%lld.jsonl%n", &step, &used) != 1 || !used ||
            entry->d_name[used])
            continue;
        const size_t n = (size_t)files->count + 1;
        files->list = memory_resize(files->list, n * sizeof *files->list);
        files->list[files->count++] = (struct step_file){.step = step};
    }
    closedir(folder);
    if (files->count) qsort(files->list, (size_t)files->count, sizeof *files->list, step_order);
}

/* The one that is farthest from those that were asked for; first the last, then the first. */
static struct step_file *next_file(struct step_files *files)
{
    struct step_file *list = files->list, *best = NULL;
    const int64_t last = files->count - 1;
    if (!list[last].taken) return &list[last];
    if (!list[0].taken) return &list[0];
    int64_t widest = 0;
    for (int64_t i = 0, before = 0; i < files->count; i++) {
        if (!list[i].taken) continue;
        if (i - before > 1 && i - before > widest) {
            widest = i - before;
            best = &list[before + widest / 2];
        }
        before = i;
    }
    return best;
}

static status file_take(struct run_record *run, struct step_file *file, size_t *left,
                        int64_t *dropped)
{
    char path[1200];
    snprintf(path, sizeof path, "%s/samples/step-%06lld.jsonl", run->path, (long long)file->step);
    file->taken = true;
    FILE *stream = memory_stream(&file->json, &file->size);
    status s = sample_step_write(run, path, file->step, *left, stream, dropped);
    memory_stream_close(stream);
    if (s) { /* gone meanwhile, or not to be read */
        run_note(run, "%s", status_message(s));
        status_free(s);
        file->size = 0;
        return NULL;
    }
    *left -= file->size < *left ? file->size : *left;
    return NULL;
}

static void steps_join(const struct step_files *files, struct sample_steps *out)
{
    FILE *stream = memory_stream(&out->json, &out->size);
    bool any = false;
    fputc('[', stream);
    for (int64_t i = 0; i < files->count; i++) {
        if (!files->list[i].size) continue;
        if (any) fputs(",\n", stream);
        any = true;
        fwrite(files->list[i].json, 1, files->list[i].size, stream);
    }
    fputc(']', stream);
    memory_stream_close(stream);
}

status samples_read(struct run_record *run, size_t bytes, struct sample_steps *out)
{
    struct step_files files;
    int64_t taken = 0, dropped = 0;
    size_t left = bytes;
    status s = NULL;
    files_list(run, &files);
    for (struct step_file *file; !s && files.count && (file = next_file(&files)); taken++) {
        /* Another step of the size of those before would not fit. */
        if (taken && left < (bytes - left) / (size_t)taken) break;
        s = file_take(run, file, &left, &dropped);
    }
    *out = (struct sample_steps){0};
    if (!s) {
        if (taken < files.count)
            run_note(run, "samples of %lld of %lld steps: more would make the page too large",
                     (long long)taken, (long long)files.count);
        if (dropped)
            run_note(run, "%lld replies of these steps are left out, for the same reason",
                     (long long)dropped);
        steps_join(&files, out);
    }
    for (int64_t i = 0; i < files.count; i++) free(files.list[i].json);
    free(files.list);
    return s;
}
