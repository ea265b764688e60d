/* Evaluations as tables; see evaluation_file.h, and of the files src/evaluate/evaluation_write.c.
 */
#include "tools/regard/evaluation_file.h"

#include "src/base/json.h"
#include "src/base/log.h"
#include "src/base/memory.h"
#include "src/probe/bootstrap.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void evaluation_print(const struct evaluate_settings *settings, const struct evaluation *evaluation)
{
    for (int64_t m = 0; m < evaluation_count(settings); m++)
        if (isfinite(evaluation->value[m]))
            printf("%-23s %12.4f\n", evaluation_name(settings, m), evaluation->value[m]);
}

struct table {
    const char *path;
    json_t *json;
    double value[EVALUATION_MAX]; /* NaN: null, or not there */
    bool there[EVALUATION_MAX];
    json_t *names, *rows; /* of by_dialogue; NULL: none */
    const char *lines;    /* lines_sha256; empty: the file does not say */
};

/* The group of a metric that a file has where it was asked for; GROUPS: it always has it. */
static enum metric_group asked_group(const struct evaluate_settings *settings, int64_t metric)
{
    static const enum metric_group asked[] = {GROUP_STATES, GROUP_ON_TOPIC};
    for (size_t i = 0; i < sizeof asked / sizeof *asked; i++) {
        const int64_t first = evaluation_first(settings, asked[i]);
        if (metric >= first && metric < first + evaluation_group_count(settings, asked[i]))
            return asked[i];
    }
    return GROUPS;
}

static status table_read(const char *path, const struct evaluate_settings *settings,
                         struct table *t)
{
    *t = (struct table){.path = path, .lines = ""};
    TRY(json_read(path, &t->json));
    for (int64_t m = 0; m < evaluation_count(settings); m++) {
        const char *name = evaluation_name(settings, m);
        t->value[m] = NAN;
        t->there[m] = json_object_get(t->json, name) != NULL;
        if (!t->there[m] && asked_group(settings, m) != GROUPS) continue;
        if (!json_is_null(json_object_get(t->json, name)))
            TRY(json_get_number(t->json, path, name, &t->value[m]));
    }
    const json_t *parts = json_object_get(t->json, "by_dialogue");
    if (!parts) return NULL; /* a file from before they were written */
    t->names = json_object_get(parts, "metrics");
    t->rows = json_object_get(parts, "rows");
    bool whole = json_is_array(t->names) && json_is_array(t->rows);
    for (size_t d = 0; whole && d < json_array_size(t->rows); d++) {
        const json_t *row = json_array_get(t->rows, d);
        whole = json_array_size(row) == 2 * json_array_size(t->names);
        for (size_t i = 0; whole && i < json_array_size(row); i++)
            whole = json_is_number(json_array_get(row, i));
    }
    if (json_object_get(parts, "lines_sha256"))
        t->lines = json_string_value(json_object_get(parts, "lines_sha256"));
    if (!whole || !t->lines)
        FAIL(STATUS_INPUT, "%s: \"by_dialogue\" is not as regard eval writes it", path);
    return NULL;
}

/* The place of the metric's sum in a row; -1: it has none. */
static int64_t column_of(const struct table *t, const char *name)
{
    for (size_t i = 0; i < json_array_size(t->names); i++) {
        const char *other = json_string_value(json_array_get(t->names, i));
        if (other && !strcmp(other, name)) return 2 * (int64_t)i;
    }
    return -1;
}

static void column_read(const struct table *t, int64_t column, double *parts /* [dialogues, 4] */)
{
    for (size_t d = 0; d < json_array_size(t->rows); d++)
        for (int64_t i = 0; i < 2; i++)
            parts[4 * d + (size_t)i] =
                json_number_value(json_array_get(json_array_get(t->rows, d), (size_t)(column + i)));
}

static double change_of_means(const double *total)
{
    return evaluation_of_parts("", total[2], total[3]) -
           evaluation_of_parts("", total[0], total[1]);
}

static double change_of_perplexities(const double *total)
{
    return evaluation_of_parts("perplexity", total[2], total[3]) -
           evaluation_of_parts("perplexity", total[0], total[1]);
}

/* Dialogues that have the metric in both files. */
static int64_t dialogues_with(const double *parts /* [dialogues, 4] */, int64_t dialogues)
{
    int64_t count = 0;
    for (int64_t d = 0; d < dialogues; d++) count += parts[4 * d + 1] > 0 && parts[4 * d + 3] > 0;
    return count;
}

/* NaN: there is none. */
static double error_of(const struct bootstrap *bootstrap, const struct table *before,
                       const struct table *after, const char *name)
{
    const int64_t from = column_of(before, name), to = column_of(after, name);
    if (!bootstrap->dialogues || from < 0 || to < 0) return NAN;
    double *parts = memory_allocate((size_t)bootstrap->dialogues * 4 * sizeof *parts);
    column_read(before, from, parts);
    column_read(after, to, parts + 2);
    double error = NAN;
    if (dialogues_with(parts, bootstrap->dialogues) >= BOOTSTRAP_DIALOGUES)
        error =
            bootstrap_figure(bootstrap, parts, 4,
                             strcmp(name, "perplexity") ? change_of_means : change_of_perplexities)
                .error;
    free(parts);
    return error;
}

static void cell_print(double value, const char *form)
{
    if (isfinite(value))
        printf(form, value);
    else
        printf(" %12s", "-");
}

/* Whether what two files have of these keys is the same, or not in one of them. */
static bool keys_agree(const struct table *before, const struct table *after,
                       const char *const keys[2])
{
    for (int i = 0; i < 2; i++) {
        const json_t *a = json_object_get(before->json, keys[i]);
        const json_t *b = json_object_get(after->json, keys[i]);
        if (a && b && !json_equal(a, b)) return false;
    }
    return true;
}

/* Which groups are measured by one and the same in both files. */
static void groups_compare(const struct table *before, const struct table *after,
                           bool comparable[GROUPS + 1])
{
    static const struct {
        enum metric_group group;
        const char *keys[2], *what;
    } by[] = {{GROUP_STATES,
               {"encoder", "encoder_layer"},
               "by different encoders or layers of one: coherence, BERTScore and prompt relevance"},
              {GROUP_ON_TOPIC,
               {"on_topic", "on_topic_threshold"},
               "by different reward models or thresholds: consistencies"}};
    for (int g = 0; g <= GROUPS; g++) comparable[g] = true;
    for (size_t i = 0; i < sizeof by / sizeof *by; i++) {
        comparable[by[i].group] = keys_agree(before, after, by[i].keys);
        if (!comparable[by[i].group])
            log_line(LOG_WARNING, "%s and %s are %s do not compare", before->path, after->path,
                     by[i].what);
    }
}

static void errors_prepare(const struct table *before, const struct table *after,
                           struct bootstrap *bootstrap)
{
    const size_t dialogues = json_array_size(before->rows);
    if (dialogues != json_array_size(after->rows) || strcmp(before->lines, after->lines) != 0)
        log_line(LOG_INFO, "no errors: %s and %s are not known to be of the same dialogues",
                 before->path, after->path);
    else if (dialogues < BOOTSTRAP_DIALOGUES)
        log_line(LOG_INFO, "no errors: they want %d dialogues at least, these are %zu",
                 BOOTSTRAP_DIALOGUES, dialogues);
    else
        bootstrap_create(bootstrap, (int64_t)dialogues, 1);
}

static void row_print(const struct table *before, const struct table *after, int64_t m,
                      const char *name, bool comparable, const struct bootstrap *bootstrap)
{
    printf("%-23s", name);
    cell_print(before->value[m], " %12.4f");
    cell_print(after->value[m], " %12.4f");
    cell_print(comparable ? after->value[m] - before->value[m] : (double)NAN, " %+12.4f");
    cell_print(comparable ? error_of(bootstrap, before, after, name) : (double)NAN, " %12.4f");
    putchar('\n');
}

static void tables_print(const struct table *before, const struct table *after,
                         const struct evaluate_settings *settings)
{
    struct bootstrap bootstrap = {0};
    bool comparable[GROUPS + 1];
    groups_compare(before, after, comparable);
    errors_prepare(before, after, &bootstrap);
    printf("%-23s %12s %12s %12s %12s\n", "", "before", "after", "change", "error");
    for (int64_t m = 0; m < evaluation_count(settings); m++) {
        const enum metric_group group = asked_group(settings, m);
        if (group != GROUPS && !before->there[m] && !after->there[m]) continue;
        row_print(before, after, m, evaluation_name(settings, m), comparable[group], &bootstrap);
    }
    bootstrap_free(&bootstrap);
}

status evaluation_files_compare(const char *before, const char *after,
                                struct evaluate_settings settings)
{
    struct table one, other = {0};
    settings.states = settings.on_topic = true;
    status s = table_read(before, &settings, &one);
    if (!s) s = table_read(after, &settings, &other);
    if (!s) tables_print(&one, &other, &settings);
    json_decref(one.json);
    json_decref(other.json);
    return s;
}
