/* metrics.jsonl; see metrics.h. */
#include "src/report/metrics.h"

#include "src/base/file.h"
#include "src/base/json.h"
#include "src/base/memory.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct metrics {
    FILE *stream;
    char path[1024];
};

/* The bytes of data that hold whole lines of steps up to last_step; later ones are left out. */
static status lines_kept(const char *path, char *data, size_t size, int64_t last_step, size_t *kept)
{
    *kept = 0;
    int64_t number = 0;
    for (size_t begin = 0; begin < size;) {
        const char *newline = memchr(data + begin, '\n', size - begin);
        if (!newline) break; /* unfinished */
        size_t length = (size_t)(newline - data) + 1 - begin;
        char where[1100];
        snprintf(where, sizeof where, "%s:%lld", path, (long long)++number);
        json_t *line;
        int64_t step;
        TRY(json_parse(data + begin, length, where, &line));
        status s = json_get_integer(line, where, "step", &step);
        json_decref(line);
        TRY(s);
        if (step <= last_step) {
            memmove(data + *kept, data + begin, length);
            *kept += length;
        }
        begin += length;
    }
    return NULL;
}

status metrics_open(struct metrics **out, const char *run, int64_t last_step)
{
    *out = NULL;
    struct metrics *metrics = memory_allocate(sizeof *metrics);
    snprintf(metrics->path, sizeof metrics->path, "%s/metrics.jsonl", run);
    status s = NULL;
    if (file_exists(metrics->path)) {
        char *data;
        size_t size, kept;
        s = file_read(metrics->path, &data, &size);
        if (!s) s = lines_kept(metrics->path, data, size, last_step, &kept);
        if (!s && kept != size) s = file_write(metrics->path, data, kept);
        free(data);
    }
    if (!s) {
        metrics->stream = fopen(metrics->path, "ab");
        if (!metrics->stream)
            s = ERROR(STATUS_INPUT, "cannot write %s: %s", metrics->path, strerror(errno));
    }
    if (s) {
        free(metrics);
        return s;
    }
    *out = metrics;
    return NULL;
}

status metrics_write(struct metrics *metrics, int64_t step, const struct metric *list,
                     int64_t count)
{
    char text[40];
    fprintf(metrics->stream, "{\"step\":%lld", (long long)step);
    for (int64_t i = 0; i < count; i++) {
        fputc(',', metrics->stream);
        json_write_text(metrics->stream, list[i].name);
        json_double_text(text, list[i].value);
        fprintf(metrics->stream, ":%s", list[i].json ? list[i].json : text);
    }
    fputs("}\n", metrics->stream);
    if (fflush(metrics->stream) || ferror(metrics->stream))
        FAIL(STATUS_INPUT, "cannot write %s: %s", metrics->path, strerror(errno));
    return NULL;
}

/* One line's: left as they are where the line is of another step or has no such metric. */
static status line_find(const char *data, size_t length, const char *where, int64_t step,
                        const char *name, bool *found, double *value)
{
    json_t *line;
    int64_t of;
    TRY(json_parse(data, length, where, &line));
    status s = json_get_integer(line, where, "step", &of);
    const json_t *metric = s || of != step ? NULL : json_object_get(line, name);
    if (metric) {
        *found = true;
        *value = json_is_number(metric) ? json_number_value(metric) : NAN;
    }
    json_decref(line);
    return s;
}

status metrics_find(const char *run, int64_t step, const char *name, bool *found, double *value)
{
    char path[1100], *data;
    size_t size;
    status s = NULL;
    *found = false;
    snprintf(path, sizeof path, "%s/metrics.jsonl", run);
    if (!file_exists(path)) return NULL;
    TRY(file_read(path, &data, &size));
    for (size_t begin = 0; !s && begin < size;) {
        const char *newline = memchr(data + begin, '\n', size - begin);
        if (!newline) break; /* unfinished */
        const size_t length = (size_t)(newline - data) + 1 - begin;
        s = line_find(data + begin, length, path, step, name, found, value);
        begin += length;
    }
    free(data);
    return s;
}

status metrics_sync(struct metrics *metrics)
{
    if (fsync(fileno(metrics->stream)) != 0)
        FAIL(STATUS_INPUT, "cannot write %s: %s", metrics->path, strerror(errno));
    return NULL;
}

status metrics_close(struct metrics *metrics)
{
    if (!metrics) return NULL;
    status s = metrics_sync(metrics);
    if (fclose(metrics->stream) != 0 && !s)
        s = ERROR(STATUS_INPUT, "cannot write %s: %s", metrics->path, strerror(errno));
    free(metrics);
    return s;
}
