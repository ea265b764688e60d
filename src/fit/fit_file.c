/* Writing and reading fits; see fit_file.h. */
#include "src/fit/fit_file.h"

#include "src/base/json.h"
#include "src/base/memory.h"
#include "src/text/unicode.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define FORMAT "regard fit 1"

/* What is no UTF-8, as a path may not be, is U+FFFD. */
static void text_write(FILE *out, const char *name, const char *text)
{
    struct text_buffer valid = {0};
    utf8_append_repaired(&valid, text, strlen(text));
    fprintf(out, "  \"%s\": ", name);
    json_write_text(out, valid.data);
    fprintf(out, ",\n");
    free(valid.data);
}

static void doubles_write(FILE *out, const double *values, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        char text[40];
        json_double_text(text, values[i]);
        fprintf(out, "%s%s", i ? "," : "[", text);
    }
    fprintf(out, count ? "]" : "[]");
}

/* Whether a dense column is of the fit's sets. */
static bool column_in(const struct fit *fit, int64_t column)
{
    for (int set = 0; set < FIT_WORDS; set++) {
        int64_t begin, end;
        fit_layout_columns(&fit->layout, set, &begin, &end);
        if (column >= begin && column < end) return fit->sets >> set & 1;
    }
    return false;
}

static void columns_write(FILE *out, const struct fit *fit)
{
    const char *between = "";
    fprintf(out, "  \"columns\": [");
    for (int64_t w = 0; w < fit_layout_width(&fit->layout); w++) {
        char name[64], mean[40], deviation[40], weight[40];
        if (!column_in(fit, w)) continue;
        fit_layout_name(&fit->layout, w, name);
        json_double_text(mean, fit->mean[w]);
        json_double_text(deviation, fit->deviation[w]);
        json_double_text(weight, fit->weight[w]);
        fprintf(out, "%s\n    {\"name\": \"%s\", \"mean\": %s, \"deviation\": %s, \"weight\": %s}",
                between, name, mean, deviation, weight);
        between = ",";
    }
    fprintf(out, "],\n");
}

void fit_write(FILE *out, const struct fit *fit, const struct fit_about *about,
               const json_t *held_out)
{
    char sets[64], number[40];
    fit_sets_text(fit->sets, sets);
    fprintf(out, "{\n");
    text_write(out, "format", FORMAT);
    text_write(out, "target", about->target);
    text_write(out, "data", about->data);
    text_write(out, "model", about->model);
    fprintf(out, "  \"shuffled\": %s,\n", about->shuffled ? "true" : "false");
    text_write(out, "sets", sets);
    fprintf(out, "  \"histories\": %lld,\n  \"replies\": %lld,\n", (long long)fit->histories,
            (long long)fit->replies);
    fprintf(out, "  \"layers\": %lld,\n  \"heads\": %lld,\n  \"statistics\": [",
            (long long)fit->layout.layers, (long long)fit->layout.heads);
    /* Without attention's columns no statistics are asked for where it is read. */
    const bool attention = fit->sets >> FIT_ATTENTION & 1;
    for (int s = 0; attention && s < fit->layout.statistic_count; s++) {
        if (s) fprintf(out, ", ");
        json_write_text(out, fit->layout.statistic[s]);
    }
    json_double_text(number, fit->strength);
    fprintf(out, "],\n  \"strength\": %s,\n  \"length\": ", number);
    doubles_write(out, fit->length, 2);
    json_double_text(number, fit->offset);
    fprintf(out, ",\n  \"offset\": %s,\n", number);
    columns_write(out, fit);
    fprintf(out, "  \"buckets\": %d,\n  \"bucket\": ", WORD_BUCKETS);
    if (fit->bucket_count)
        json_write_integers(out, fit->bucket, fit->bucket_count);
    else
        fprintf(out, "[]");
    fprintf(out, ",\n  \"bucket_weight\": ");
    doubles_write(out, fit->bucket_weight, fit->bucket_count);
    fprintf(out, ",\n  \"held_out\": ");
    json_dumpf(held_out, out, JSON_REAL_PRECISION(6) | JSON_COMPACT);
    fprintf(out, "\n}\n");
}

static status text_read(const json_t *file, const char *path, const char *name, char *out,
                        size_t size)
{
    const char *text;
    TRY(json_get_text(file, path, name, &text));
    if (strlen(text) >= size) FAIL(STATUS_INPUT, "%s: %s is too long", path, name);
    snprintf(out, size, "%s", text);
    return NULL;
}

static status list_get(const json_t *file, const char *path, const char *name, int64_t count,
                       const json_t **out)
{
    *out = json_object_get(file, name);
    if (!json_is_array(*out)) FAIL(STATUS_INPUT, "%s: %s is no list", path, name);
    if (count >= 0 && (int64_t)json_array_size(*out) != count)
        FAIL(STATUS_INPUT, "%s: %s has %lld values, not %lld", path, name,
             (long long)json_array_size(*out), (long long)count);
    return NULL;
}

static status doubles_read(const json_t *file, const char *path, const char *name, int64_t count,
                           double *out)
{
    const json_t *list;
    TRY(list_get(file, path, name, count, &list));
    for (int64_t i = 0; i < count; i++) {
        const json_t *value = json_array_get(list, (size_t)i);
        if (!json_is_number(value) || !isfinite(json_number_value(value)))
            FAIL(STATUS_INPUT, "%s: %s[%lld] is no number", path, name, (long long)i);
        out[i] = json_number_value(value);
    }
    return NULL;
}

static status layout_read(const json_t *file, const char *path, struct fit_layout *layout)
{
    const json_t *list;
    TRY(json_get_integer(file, path, "layers", &layout->layers));
    TRY(json_get_integer(file, path, "heads", &layout->heads));
    TRY(list_get(file, path, "statistics", -1, &list));
    const size_t count = json_array_size(list);
    if (count > STATISTICS_MAX || layout->layers < 0 || layout->layers > 4096 ||
        layout->heads < 0 || layout->heads > 4096)
        FAIL(STATUS_INPUT, "%s: %zu statistics of %lld layers x %lld heads", path, count,
             (long long)layout->layers, (long long)layout->heads);
    for (size_t i = 0; i < count; i++) {
        const char *name = json_string_value(json_array_get(list, i));
        if (!name || strlen(name) >= STATISTICS_NAME_MAX)
            FAIL(STATUS_INPUT, "%s: statistics[%zu] is no name", path, i);
        snprintf(layout->statistic[layout->statistic_count++], STATISTICS_NAME_MAX, "%s", name);
    }
    return NULL;
}

static status columns_read(const json_t *file, const char *path, struct fit *fit)
{
    const json_t *list;
    const int64_t width = fit_layout_width(&fit->layout);
    int64_t count = 0, at = 0;
    fit->mean = memory_allocate((size_t)width * sizeof *fit->mean);
    fit->deviation = memory_allocate((size_t)width * sizeof *fit->deviation);
    fit->weight = memory_allocate((size_t)width * sizeof *fit->weight);
    for (int64_t w = 0; w < width; w++) count += column_in(fit, w);
    TRY(list_get(file, path, "columns", count, &list));
    for (int64_t w = 0; w < width; w++) {
        if (!column_in(fit, w)) continue;
        char wanted[64], where[1200];
        const char *name;
        const json_t *column = json_array_get(list, (size_t)at);
        snprintf(where, sizeof where, "%.1024s: columns[%lld]", path, (long long)at++);
        if (!json_is_object(column)) FAIL(STATUS_INPUT, "%s is no object", where);
        fit_layout_name(&fit->layout, w, wanted);
        TRY(json_get_text(column, where, "name", &name));
        if (strcmp(name, wanted) != 0) FAIL(STATUS_INPUT, "%s is %s, not %s", where, name, wanted);
        TRY(json_get_number(column, where, "mean", &fit->mean[w]));
        TRY(json_get_number(column, where, "deviation", &fit->deviation[w]));
        TRY(json_get_number(column, where, "weight", &fit->weight[w]));
        if (!isfinite(fit->mean[w]) || !isfinite(fit->weight[w]) || !isfinite(fit->deviation[w]) ||
            (fit->weight[w] != 0 && !(fit->deviation[w] > 0)))
            FAIL(STATUS_INPUT, "%s (%s) has a weight without a deviation above 0", where, name);
    }
    return NULL;
}

static status words_read(const json_t *file, const char *path, struct fit *fit)
{
    const json_t *list;
    int64_t buckets;
    TRY(json_get_integer(file, path, "buckets", &buckets));
    if (buckets != WORD_BUCKETS)
        FAIL(STATUS_INPUT, "%s: %lld buckets of words; this program has %d", path,
             (long long)buckets, WORD_BUCKETS);
    TRY(list_get(file, path, "bucket", -1, &list));
    const int64_t count = (int64_t)json_array_size(list);
    fit->bucket = memory_allocate((size_t)(count + 1) * sizeof *fit->bucket);
    fit->bucket_weight = memory_allocate((size_t)(count + 1) * sizeof *fit->bucket_weight);
    TRY(doubles_read(file, path, "bucket_weight", count, fit->bucket_weight));
    for (int64_t i = 0; i < count; i++) {
        const json_t *value = json_array_get(list, (size_t)i);
        const int64_t bucket = json_is_integer(value) ? json_integer_value(value) : -1;
        if (bucket < 0 || bucket >= WORD_BUCKETS || (i && bucket <= fit->bucket[i - 1]))
            FAIL(STATUS_INPUT, "%s: bucket[%lld] does not ascend from 0 to %d", path, (long long)i,
                 WORD_BUCKETS - 1);
        fit->bucket[i] = (int32_t)bucket;
    }
    fit->bucket_count = count;
    return NULL;
}

static status parts_read(const json_t *file, const char *path, struct fit *fit,
                         struct fit_about *about)
{
    const char *format;
    char sets[64];
    TRY(json_get_text(file, path, "format", &format));
    if (strcmp(format, FORMAT) != 0)
        FAIL(STATUS_INPUT, "%s: the format is \"%s\", not \"" FORMAT "\"", path, format);
    TRY(text_read(file, path, "target", about->target, sizeof about->target));
    TRY(text_read(file, path, "data", about->data, sizeof about->data));
    TRY(text_read(file, path, "model", about->model, sizeof about->model));
    const json_t *shuffled = json_object_get(file, "shuffled");
    if (!json_is_boolean(shuffled)) FAIL(STATUS_INPUT, "%s: shuffled is not true or false", path);
    about->shuffled = json_is_true(shuffled);
    TRY(text_read(file, path, "sets", sets, sizeof sets));
    TRY(fit_sets_parse(sets, path, &fit->sets));
    TRY(json_get_integer(file, path, "histories", &fit->histories));
    TRY(json_get_integer(file, path, "replies", &fit->replies));
    TRY(json_get_number(file, path, "strength", &fit->strength));
    TRY(doubles_read(file, path, "length", 2, fit->length));
    TRY(json_get_number(file, path, "offset", &fit->offset));
    TRY(layout_read(file, path, &fit->layout));
    TRY(columns_read(file, path, fit));
    return words_read(file, path, fit);
}

status fit_read(const char *path, struct fit *fit, struct fit_about *about)
{
    json_t *file;
    *fit = (struct fit){0};
    *about = (struct fit_about){0};
    TRY(json_read(path, &file));
    status s = NULL;
    if (!json_is_object(file))
        s = ERROR(STATUS_INPUT, "%s: no object: not a fit.json of regard probe --fit", path);
    if (!s) s = parts_read(file, path, fit, about);
    json_decref(file);
    if (s) fit_free(fit);
    return s;
}
