/* See evaluation_first.h. */
#include "src/evaluate/evaluation_first.h"

#include "src/base/json.h"
#include "src/base/memory.h"
#include "src/evaluate/evaluation_error.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void evaluation_first_free(struct evaluation_first *first)
{
    free(first->parts);
    *first = (struct evaluation_first){.there = false};
}

void evaluation_first_take(struct evaluation_first *first, int64_t step,
                           const struct evaluation *evaluation, const char *lines)
{
    const size_t size = (size_t)evaluation->dialogues * sizeof *first->parts;
    evaluation_first_free(first);
    *first = (struct evaluation_first){.there = true,
                                       .step = step,
                                       .dialogues = evaluation->dialogues,
                                       .parts = memory_allocate(size)};
    memcpy(first->parts, evaluation->parts, size);
    snprintf(first->lines, sizeof first->lines, "%s", lines);
}

/* The metric's number; -1: these settings have none of the name. */
static int64_t metric_named(const struct evaluate_settings *settings, const char *name)
{
    for (int64_t m = 0; name && m < evaluation_count(settings); m++)
        if (!strcmp(evaluation_name(settings, m), name)) return m;
    return -1;
}

static bool rows_read(const struct evaluate_settings *settings, const json_t *names,
                      const json_t *rows, struct evaluation_first *first)
{
    const size_t metrics = json_array_size(names);
    for (size_t d = 0; d < json_array_size(rows); d++) {
        const json_t *row = json_array_get(rows, d);
        if (json_array_size(row) != 2 * metrics) return false;
        for (size_t i = 0; i < 2 * metrics; i++) {
            const int64_t m =
                metric_named(settings, json_string_value(json_array_get(names, i / 2)));
            if (!json_is_number(json_array_get(row, i))) return false;
            if (m >= 0) first->parts[d][m][i % 2] = json_number_value(json_array_get(row, i));
        }
    }
    return true;
}

status evaluation_first_read(const char *path, const struct evaluate_settings *settings,
                             struct evaluation_first *first)
{
    json_t *json;
    const char *lines;
    if (!file_exists(path)) return NULL;
    TRY(json_read(path, &json));
    const json_t *by = json_object_get(json, "by_dialogue");
    const json_t *names = json_object_get(by, "metrics"), *rows = json_object_get(by, "rows");
    status s = json_get_integer(json, path, "step", &first->step);
    if (!s) s = json_get_text(by, path, "lines_sha256", &lines);
    if (!s) {
        first->dialogues = (int64_t)json_array_size(rows);
        first->parts = memory_allocate((size_t)first->dialogues * sizeof *first->parts);
        snprintf(first->lines, sizeof first->lines, "%s", lines);
        first->there = rows_read(settings, names, rows, first);
        if (!first->there)
            s = ERROR(STATUS_INPUT, "%s: \"by_dialogue\" is not as an evaluation writes it", path);
    }
    json_decref(json);
    if (s) evaluation_first_free(first);
    return s;
}

/* A metric's parts over the dialogues. */
struct ratio {
    double sum, count, value;
    double slope; /* of the value by sum / count */
};

static struct ratio ratio_of(double (*parts)[EVALUATION_MAX][2], int64_t dialogues,
                             const char *name, int64_t m)
{
    struct ratio r = {0};
    for (int64_t d = 0; d < dialogues; d++) {
        r.sum += parts[d][m][0];
        r.count += parts[d][m][1];
    }
    r.value = evaluation_of_parts(name, r.sum, r.count);
    r.slope = evaluation_is_perplexity(name) ? -r.value : 1;
    return r;
}

/* What a dialogue adds to the ratio beyond its share. */
static double apart(const struct ratio *r, const double *part)
{
    return part[1] > 0 ? r->slope * (part[0] - r->sum / r->count * part[1]) / r->count : 0;
}

struct evaluation_change evaluation_change(const struct evaluation_first *first,
                                           const struct evaluation *now,
                                           const struct evaluate_settings *settings, int64_t m)
{
    const char *name = evaluation_name(settings, m);
    const struct ratio before = ratio_of(first->parts, first->dialogues, name, m),
                       after = ratio_of(now->parts, now->dialogues, name, m);
    double squares = 0;
    int64_t either = 0, both = 0;
    for (int64_t d = 0; d < now->dialogues; d++) {
        const double *a = first->parts[d][m], *b = now->parts[d][m];
        const double change = apart(&after, b) - apart(&before, a);
        either += a[1] > 0 || b[1] > 0;
        both += a[1] > 0 && b[1] > 0;
        squares += change * change;
    }
    if (both < ERROR_DIALOGUES) return (struct evaluation_change){NAN, NAN};
    const double n = (double)either;
    return (struct evaluation_change){after.value - before.value, sqrt(n / (n - 1) * squares)};
}
