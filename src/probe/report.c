/* Figures and verdicts as one JSON object; see report.h. */
#include "src/probe/report.h"

#include "src/base/memory.h"
#include "src/fit/within.h"
#include "src/probe/verdict.h"
#include "src/probe/words.h"
#include "src/text/unicode.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A text from outside, such as a path or a reply: what is no UTF-8 is U+FFFD. */
static json_t *text_make(const char *text)
{
    struct text_buffer valid = {0};
    utf8_append_repaired(&valid, text, strlen(text));
    json_t *made = json_string(valid.data);
    free(valid.data);
    return made;
}

static void number_set(json_t *object, const char *name, double value)
{
    json_object_set_new(object, name, isfinite(value) ? json_real(value) : json_null());
}

static void figure_set(json_t *object, const char *name, const struct figure *figure)
{
    char error[80];
    snprintf(error, sizeof error, "%s_error", name);
    number_set(object, name, figure->value);
    number_set(object, error, figure->error);
}

/* What the parts of a report are made of. */
struct maker {
    const struct probe_data *data;
    struct probe_replies replies;
    struct bootstrap bootstrap;
    const struct probe_column *target;
};

static void verdict_set(json_t *object, const struct source_figures *source,
                        const struct pair_figures *pair, const struct probe_column *column)
{
    const enum verdict verdict = verdict_of(source, pair, column->role == PROBE_CONTROL);
    json_object_set_new(object, "verdict", json_string(verdict_names[verdict]));
}

static json_t *pair_make(const struct maker *m, const struct source_figures *source,
                         const struct probe_column *column, const struct probe_column *metric)
{
    json_t *object = json_object();
    const struct pair_figures pair =
        pair_figures(&m->replies, &m->bootstrap, column->value, metric->value, NULL);
    json_object_set_new(object, "metric", json_string(metric->name));
    figure_set(object, "correlation", &pair.correlation);
    figure_set(object, "without_length", &pair.without_length);
    figure_set(object, "pairs_right", &pair.pairs_right);
    figure_set(object, "best", &pair.best);
    figure_set(object, "random", &pair.random);
    figure_set(object, "gain", &pair.gain);
    json_object_set_new(object, "pairs", json_integer(pair.pairs));
    json_object_set_new(object, "distinct", json_integer(pair.distinct));
    json_object_set_new(object, "dialogues", json_integer(pair.dialogues));
    verdict_set(object, source, &pair, column);
    return object;
}

/* The index of a text among those [0, i) that equal it; i: it is the first. */
static int64_t first_same(char *const *texts, int64_t i)
{
    for (int64_t k = 0; k < i; k++)
        if (!strcmp(texts[k], texts[i])) return k;
    return i;
}

enum { QUESTIONS_MAX = 32 };

/* By kind of question: the figures of the histories of each. */
static json_t *questions_make(const struct maker *m, const double *value)
{
    json_t *list = json_array();
    char **question = m->data->question;
    const int64_t histories = m->replies.history_count;
    bool *only = memory_allocate((size_t)histories * sizeof *only);
    for (int64_t h = 0; question && h < histories; h++) {
        if (first_same(question, h) != h || json_array_size(list) >= QUESTIONS_MAX) continue;
        for (int64_t k = 0; k < histories; k++) only[k] = !strcmp(question[k], question[h]);
        const struct pair_figures pair =
            pair_figures(&m->replies, &m->bootstrap, value, m->target->value, only);
        json_t *object = json_object();
        json_object_set_new(object, "question", text_make(question[h]));
        json_object_set_new(object, "distinct", json_integer(pair.distinct));
        json_object_set_new(object, "dialogues", json_integer(pair.dialogues));
        figure_set(object, "without_length", &pair.without_length);
        figure_set(object, "pairs_right", &pair.pairs_right);
        figure_set(object, "gain", &pair.gain);
        figure_set(object, "random", &pair.random);
        json_array_append_new(list, object);
    }
    free(only);
    return list;
}

/* By kinds of question and of reply: means of the source and the target, in deviations within
 * histories; histories without the target are left out. */
static json_t *kinds_make(const struct maker *m, const double *value)
{
    enum { KINDS_MAX = 128 };
    struct {
        const char *question, *kind;
        double value, target;
        int64_t replies;
    } cell[KINDS_MAX];
    int cells = 0;
    json_t *list = json_array();
    const int64_t count = m->replies.count, histories = m->replies.history_count;
    if (!m->data->kind) return list;
    double *source = memory_allocate((size_t)count * sizeof *source);
    double *target = memory_allocate((size_t)count * sizeof *target);
    within_standardised(&m->replies, value, m->target->value, source);
    within_standardised(&m->replies, m->target->value, m->target->value, target);
    for (int64_t h = 0; h < histories; h++) {
        if (!metric_known(&m->replies, m->target->value, h)) continue;
        for (int64_t i = m->replies.first[h]; i < m->replies.first[h + 1]; i++) {
            const char *question = m->data->question ? m->data->question[h] : "";
            int c = 0;
            while (c < cells && (strcmp(cell[c].question, question) != 0 ||
                                 strcmp(cell[c].kind, m->data->kind[i]) != 0))
                c++;
            if (c == KINDS_MAX) continue;
            if (c == cells) {
                memset(&cell[cells], 0, sizeof cell[cells]);
                cell[cells].question = question;
                cell[cells++].kind = m->data->kind[i];
            }
            cell[c].value += source[i];
            cell[c].target += target[i];
            cell[c].replies++;
        }
    }
    for (int c = 0; c < cells; c++) {
        json_t *object = json_object();
        json_object_set_new(object, "question", text_make(cell[c].question));
        json_object_set_new(object, "kind", text_make(cell[c].kind));
        json_object_set_new(object, "replies", json_integer(cell[c].replies));
        number_set(object, "source", cell[c].value / (double)cell[c].replies);
        number_set(object, "target", cell[c].target / (double)cell[c].replies);
        json_array_append_new(list, object);
    }
    free(source);
    free(target);
    return list;
}

static const char *const role_names[] = {"source", "form", "control", "fitted"};

static json_t *row_make(const struct maker *m, const struct probe_column *column)
{
    json_t *object = json_object(), *metrics = json_array();
    const struct source_figures figures = source_figures(&m->replies, &m->bootstrap, column->value);
    const struct pair_figures pair =
        pair_figures(&m->replies, &m->bootstrap, column->value, m->target->value, NULL);
    json_object_set_new(object, "name", json_string(column->name));
    json_object_set_new(object, "role", json_string(role_names[column->role]));
    json_object_set_new(object, "label_free", json_boolean(column->label_free));
    figure_set(object, "within", &figures.within);
    figure_set(object, "length", &figures.length);
    json_object_set_new(object, "varied", json_integer(figures.varied));
    for (int64_t k = 0; k < m->data->metric_count; k++)
        json_array_append_new(metrics, pair_make(m, &figures, column, &m->data->metric[k]));
    json_object_set_new(object, "metrics", metrics);
    verdict_set(object, &figures, &pair, column);
    json_object_set_new(object, "settings", json_string(verdict_scale(&figures)));
    const struct probe_column *sure = probe_column_find(m->data, "logprob");
    if (column->label_free && sure && sure != column) {
        const struct pair_figures with =
            pair_figures(&m->replies, &m->bootstrap, column->value, sure->value, NULL);
        figure_set(object, "with_logprob", &with.correlation);
    }
    json_object_set_new(object, "questions", questions_make(m, column->value));
    json_object_set_new(object, "kinds", kinds_make(m, column->value));
    return object;
}

static json_t *metric_make(const struct maker *m, const struct probe_column *metric)
{
    json_t *object = json_object();
    const struct pair_figures pair =
        pair_figures(&m->replies, &m->bootstrap, m->replies.length, metric->value, NULL);
    json_object_set_new(object, "name", json_string(metric->name));
    figure_set(object, "mean", &pair.random);
    json_object_set_new(object, "distinct", json_integer(pair.distinct));
    json_object_set_new(object, "dialogues", json_integer(pair.dialogues));
    return object;
}

static json_t *fit_make_report(const struct maker *m, const struct probe_fits *fits,
                               const struct fit_validation *one)
{
    char text[64];
    const int64_t used = fits->problem.used;
    json_t *object = json_object(), *curve = json_array();
    const struct figure all = history_mean(&m->bootstrap, one->correlation, fits->dialogue, used);
    double mean = 0, square = 0;
    for (int n = 0; n < FIT_NULLS; n++) mean += one->null[n] / FIT_NULLS;
    for (int n = 0; n < FIT_NULLS; n++)
        square += (one->null[n] - mean) * (one->null[n] - mean) / (FIT_NULLS - 1);
    fit_sets_text(one->sets, text);
    json_object_set_new(object, "sets", json_string(text));
    figure_set(object, "correlation", &all);
    number_set(object, "shuffled", mean);
    number_set(object, "shuffled_deviation", sqrt(square));
    number_set(object, "strength", one->strength);
    for (int point = 0; point < FIT_CURVE; point++) {
        if (!one->curve[point]) continue;
        json_t *at = json_object();
        const struct figure few =
            history_mean(&m->bootstrap, one->curve[point], fits->dialogue, used);
        json_object_set_new(at, "labels", json_integer(fit_curve_sizes[point]));
        figure_set(at, "correlation", &few);
        json_array_append_new(curve, at);
    }
    json_object_set_new(object, "by_labels", curve);
    return object;
}

static json_t *fits_make(const struct maker *m, const struct probe_fits *fits)
{
    char text[64];
    const int64_t used = fits->problem.used;
    json_t *object = json_object(), *list = json_array(), *adds = json_array();
    for (int i = 0; i < fits->count; i++)
        json_array_append_new(list, fit_make_report(m, fits, &fits->list[i]));
    const struct fit_validation *all = probe_fits_find(fits, fits->there);
    double *difference = memory_allocate((size_t)(used + 1) * sizeof *difference);
    for (int set = 0; set < FIT_SETS; set++) {
        const struct fit_validation *rest = probe_fits_find(fits, fits->there & ~(1u << set));
        if (!(fits->there >> set & 1) || !rest) continue;
        for (int64_t u = 0; u < used; u++)
            difference[u] = all->correlation[u] - rest->correlation[u];
        const struct figure added = history_mean(&m->bootstrap, difference, fits->dialogue, used);
        json_t *one = json_object();
        json_object_set_new(one, "set", json_string(fit_set_name(set)));
        figure_set(one, "adds", &added);
        json_array_append_new(adds, one);
    }
    free(difference);
    fit_sets_text(fits->list[fits->written].sets, text);
    json_object_set_new(object, "target", json_string(m->target->name));
    json_object_set_new(object, "histories", json_integer(used));
    json_object_set_new(object, "written", json_string(text));
    json_object_set_new(object, "fits", list);
    json_object_set_new(object, "adds", adds);
    return object;
}

/* Replies to a history: their mean, where they are not alike in number. */
static json_t *candidates_make(const struct probe_replies *replies)
{
    const int64_t histories = replies->history_count;
    return replies->count % histories == 0 ? json_integer(replies->count / histories)
                                           : json_real((double)replies->count / (double)histories);
}

json_t *probe_report(const struct probe_data *data, const struct probe_settings *settings,
                     const struct probe_fits *fits, const struct probe_column *target,
                     const char *model, const char *path)
{
    struct maker m = {.data = data, .replies = probe_replies_of(data), .target = target};
    json_t *report = json_object(), *metrics = json_array(), *rows = json_array();
    bootstrap_create(&m.bootstrap, data->dialogues, settings->sampling.seed);
    json_object_set_new(report, "model", text_make(model));
    json_object_set_new(report, "data", text_make(path));
    json_object_set_new(report, "seed", json_integer(settings->sampling.seed));
    json_object_set_new(report, "dialogues", json_integer(data->dialogues));
    json_object_set_new(report, "histories", json_integer(m.replies.history_count));
    json_object_set_new(report, "labelled", json_boolean(data->labelled));
    json_object_set_new(report, "candidates", candidates_make(&m.replies));
    json_object_set_new(report, "temperature", json_real(settings->sampling.temperature));
    json_object_set_new(report, "overlong", json_integer(data->overlong));
    json_object_set_new(report, "left_out", json_integer(data->left_out));
    number_set(report, "reply_length", data->reply_length);
    number_set(report, "end_rate", data->end_rate);
    number_set(report, "distinct_replies", data->distinct);
    json_object_set_new(report, "target", json_string(target->name));
    json_object_set_new(report, "by", text_make(settings->by));
    for (int64_t k = 0; k < data->metric_count; k++)
        json_array_append_new(metrics, metric_make(&m, &data->metric[k]));
    for (int role = PROBE_SOURCE; role <= PROBE_FITTED; role++)
        for (int64_t c = 0; c < data->column_count; c++)
            if ((int)data->column[c].role == role)
                json_array_append_new(rows, row_make(&m, &data->column[c]));
    json_object_set_new(report, "metrics", metrics);
    json_object_set_new(report, "rows", rows);
    if (fits) json_object_set_new(report, "fit", fits_make(&m, fits));
    json_object_set_new(report, "words", probe_words(report));
    bootstrap_free(&m.bootstrap);
    return report;
}

const json_t *probe_report_fits(const json_t *report)
{
    return json_object_get(report, "fit");
}
