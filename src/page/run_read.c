/* A run's folder, read; see run_read.h. */
#include "src/page/run_read.h"

#include "src/base/file.h"
#include "src/base/json.h"
#include "src/base/memory.h"
#include "src/page/run_thin.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATH_BYTES = 1200 };

/* Rows come in steps' order, names in the order of the line before: the search begins where the
 * last one ended. */
struct reading {
    struct run_record *run;
    int64_t room; /* rows that the columns have */
    int64_t next; /* the column that is expected */
};

static void rows_grow(struct reading *r)
{
    struct run_record *run = r->run;
    const int64_t room = r->room ? 2 * r->room : 256;
    run->step = memory_resize(run->step, (size_t)room * sizeof *run->step);
    for (int64_t c = 0; c < run->columns; c++) {
        double **value = &run->column[c].value;
        *value = memory_resize(*value, (size_t)room * sizeof **value);
        for (int64_t i = r->room; i < room; i++) (*value)[i] = NAN;
    }
    r->room = room;
}

static struct run_column *column_take(struct reading *r, const char *name)
{
    struct run_record *run = r->run;
    for (int64_t k = 0; k < run->columns; k++) {
        const int64_t c = (r->next + k) % run->columns;
        if (strcmp(run->column[c].name, name) != 0) continue;
        r->next = c + 1;
        return &run->column[c];
    }
    run->column = memory_resize(run->column, ((size_t)run->columns + 1) * sizeof *run->column);
    struct run_column *column = &run->column[run->columns++];
    column->name = memory_text(name);
    column->value = memory_allocate((size_t)r->room * sizeof *column->value);
    for (int64_t i = 0; i < r->room; i++) column->value[i] = NAN;
    r->next = run->columns;
    return column;
}

/* "time_by_rank": each kind's seconds of each rank, added up; a run that went on with other ranks
 * has the most of them. */
static void ranks_add(struct run_record *run, const json_t *kinds)
{
    const char *kind;
    json_t *seconds, *one;
    size_t rank;
    if (!json_is_object(kinds)) return;
    if (!run->by_rank) run->by_rank = json_object();
    json_object_foreach((json_t *)kinds, kind, seconds)
    {
        json_t *sums = json_object_get(run->by_rank, kind);
        if (!sums) {
            sums = json_array();
            json_object_set_new(run->by_rank, kind, sums);
        }
        json_array_foreach(seconds, rank, one)
        {
            const double before = json_number_value(json_array_get(sums, rank));
            json_t *sum = json_real(before + json_number_value(one));
            if (rank < json_array_size(sums))
                json_array_set_new(sums, rank, sum);
            else
                json_array_append_new(sums, sum);
        }
    }
}

/* Lines of one step (of training, of an evaluation, of an audit) are one row. */
static status line_take(struct reading *r, const json_t *line, const char *where)
{
    struct run_record *run = r->run;
    int64_t step;
    TRY(json_get_integer(line, where, "step", &step));
    if (!run->rows || (double)step > run->step[run->rows - 1]) {
        if (run->rows == r->room) rows_grow(r);
        run->step[run->rows++] = (double)step;
    } else if ((double)step < run->step[run->rows - 1]) {
        FAIL(STATUS_INPUT, "%s: step %lld comes after step %.0f", where, (long long)step,
             run->step[run->rows - 1]);
    }
    const char *name;
    json_t *value;
    ranks_add(run, json_object_get(line, "time_by_rank"));
    json_object_foreach((json_t *)line, name, value)
    {
        if (!strcmp(name, "step") || !json_is_number(value)) continue;
        column_take(r, name)->value[run->rows - 1] = json_number_value(value);
    }
    return NULL;
}

static void note_take(struct run_record *run, status s)
{
    if (!s) return;
    run_note(run, "%s; left out", status_message(s));
    status_free(s);
}

static status metrics_read(struct run_record *run)
{
    char path[PATH_BYTES], *data;
    size_t size;
    struct reading reading = {.run = run};
    snprintf(path, sizeof path, "%s/metrics.jsonl", run->path);
    if (!file_exists(path)) {
        run_note(run, "there is no metrics.jsonl yet");
        return NULL;
    }
    TRY(file_read(path, &data, &size));
    int64_t number = 0;
    for (size_t begin = 0; begin < size;) {
        const char *newline = memchr(data + begin, '\n', size - begin);
        if (!newline) break; /* it is being written, or its run was killed */
        const size_t length = (size_t)(newline - data) - begin;
        char where[PATH_BYTES + 32];
        snprintf(where, sizeof where, "metrics.jsonl:%lld", (long long)++number);
        json_t *line = NULL;
        status s = json_parse(data + begin, length, where, &line);
        if (!s) s = line_take(&reading, line, where);
        json_decref(line);
        note_take(run, s);
        begin += length + 1;
    }
    free(data);
    return NULL;
}

/* "A run of `regard train`." */
static void kind_read(struct run_record *run)
{
    const char *begin = run->about ? strstr(run->about, "`regard ") : NULL;
    if (!begin) return;
    begin += strlen("`regard ");
    const size_t length = strspn(begin, "abcdefghijklmnopqrstuvwxyz-");
    snprintf(run->kind, sizeof run->kind, "%.*s", (int)(length < 31 ? length : 31), begin);
}

static status words_read(struct run_record *run)
{
    char path[PATH_BYTES], *text;
    size_t size;
    snprintf(path, sizeof path, "%s/about.txt", run->path);
    if (file_exists(path)) TRY(file_read(path, &run->about, &size));
    kind_read(run);
    snprintf(path, sizeof path, "%s/config.yaml", run->path);
    if (!file_exists(path)) {
        run_note(run, "there is no config.yaml");
        return NULL;
    }
    TRY(file_read(path, &text, &size));
    note_take(run, settings_read("config.yaml", text, size, &run->settings));
    free(text);
    return NULL;
}

static status folder_check(const char *path)
{
    static const char *const any[] = {"config.yaml", "metrics.jsonl"};
    char file[PATH_BYTES];
    if (!directory_exists(path)) FAIL(STATUS_INPUT, "%s: there is no such folder", path);
    if (access(path, R_OK | X_OK) != 0) FAIL(STATUS_INPUT, "%s: %s", path, strerror(errno));
    for (size_t i = 0; i < sizeof any / sizeof *any; i++) {
        snprintf(file, sizeof file, "%s/%s", path, any[i]);
        if (file_exists(file)) return NULL;
    }
    FAIL(STATUS_INPUT,
         "%s is no run: it has neither config.yaml nor metrics.jsonl; name the folder that was "
         "--run of train, sft or reward",
         path);
}

status run_record_read(const char *path, int64_t rows, struct run_record **out)
{
    *out = NULL;
    TRY(folder_check(path));
    struct run_record *run = memory_allocate(sizeof *run);
    run->path = memory_text(path);
    for (size_t n = strlen(run->path); n > 1 && run->path[n - 1] == '/'; n--) run->path[n - 1] = 0;
    run->lines = 1;
    status s = words_read(run);
    if (!s) s = metrics_read(run);
    if (s) {
        run_record_free(run);
        return s;
    }
    run_thin(run, rows);
    *out = run;
    return NULL;
}
