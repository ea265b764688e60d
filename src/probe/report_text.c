/* A report as text; see report.h. */
#include "src/probe/report.h"

#include "src/base/json.h"

#include <math.h>
#include <string.h>

static const char *text_of(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

static long long integer(const json_t *object, const char *name)
{
    return (long long)json_integer_value(json_object_get(object, name));
}

/* "0.123 (0.045)", or "-". */
static void cell(FILE *out, const json_t *object, const char *name, int width)
{
    char error[80], text[64] = "-";
    snprintf(error, sizeof error, "%s_error", name);
    const double value = json_number_or_nan(object, name);
    if (isfinite(value))
        snprintf(text, sizeof text, "%.3f (%.3f)", value, json_number_or_nan(object, error));
    fprintf(out, " %*s", width, text);
}

static void head_text(const json_t *report, FILE *out)
{
    const json_t *one;
    size_t i;
    fprintf(out,
            "%lld histories of %lld dialogues of %s, %.3g %s each at temperature %g: %.1f "
            "tokens, %.1f of %.3g different, %.0f%% ended\n",
            integer(report, "histories"), integer(report, "dialogues"), text_of(report, "data"),
            json_number_or_nan(report, "candidates"),
            json_is_true(json_object_get(report, "labelled")) ? "labelled replies" : "replies",
            json_number_or_nan(report, "temperature"), json_number_or_nan(report, "reply_length"),
            json_number_or_nan(report, "distinct_replies"),
            json_number_or_nan(report, "candidates"), 100 * json_number_or_nan(report, "end_rate"));
    if (integer(report, "overlong"))
        fprintf(out, "%lld turns were left out: their prompt alone exceeds history.max_tokens\n",
                integer(report, "overlong"));
    json_array_foreach(json_object_get(report, "metrics"), i, one)
    {
        fprintf(out, "%-12s", text_of(one, "name"));
        cell(out, one, "mean", 16);
        fprintf(out, "  %lld histories with two or more distinct outcomes\n",
                integer(one, "distinct"));
    }
}

static void rows_text(const json_t *report, FILE *out)
{
    const json_t *row, *pair;
    size_t i, k;
    fprintf(out,
            "\nIn brackets standard errors over dialogues.  within: share of variance within "
            "histories; length, and a metric's\nname: rank correlation within a history, of the "
            "metric with length and its square taken out; best: what\nthe best of a history by the "
            "source has more of %s than a random one.\n%-34s %15s %15s",
            text_of(report, "target"), "", "within", "length");
    json_array_foreach(json_object_get(report, "metrics"), i, row)
        fprintf(out, " %15s", text_of(row, "name"));
    fprintf(out, " %15s  %s\n", "best", "verdict");
    json_array_foreach(json_object_get(report, "rows"), i, row)
    {
        fprintf(out, "%-34.34s", text_of(row, "name"));
        cell(out, row, "within", 15);
        cell(out, row, "length", 15);
        json_array_foreach(json_object_get(row, "metrics"), k, pair)
            cell(out, pair, "without_length", 15);
        json_array_foreach(json_object_get(row, "metrics"), k,
                           pair) if (!strcmp(text_of(pair, "metric"), text_of(report, "target")))
            cell(out, pair, "gain", 15);
        fprintf(out, "  %s\n", text_of(row, "verdict"));
    }
}

static void fits_text(const json_t *report, FILE *out)
{
    const json_t *fit = json_object_get(report, "fit"), *one, *point;
    size_t i, k;
    if (!fit) return;
    fprintf(
        out,
        "\nFits to %s, %lld histories: correlation on dialogues that were not fitted on, "
        "length out; beside it fits to\nlabels shuffled within histories (and their deviation), "
        "and fits to few labelled histories.\n%-34s %15s %15s",
        text_of(fit, "target"), integer(fit, "histories"), "", "all labels", "shuffled");
    one = json_array_get(json_object_get(fit, "fits"), 0);
    json_array_foreach(json_object_get(one, "by_labels"), k, point)
        fprintf(out, " %12lld labels", integer(point, "labels"));
    fprintf(out, "\n");
    json_array_foreach(json_object_get(fit, "fits"), i, one)
    {
        fprintf(out, "%-34s", text_of(one, "sets"));
        cell(out, one, "correlation", 15);
        char null[64];
        snprintf(null, sizeof null, "%.3f (%.3f)", json_number_or_nan(one, "shuffled"),
                 json_number_or_nan(one, "shuffled_deviation"));
        fprintf(out, " %15s", null);
        json_array_foreach(json_object_get(one, "by_labels"), k, point)
            cell(out, point, "correlation", 19);
        fprintf(out, "\n");
    }
}

/* Kinds of question and of reply, of the sources that can teach. */
static void kinds_text(const json_t *report, FILE *out)
{
    const json_t *row, *one;
    size_t i, k;
    json_array_foreach(json_object_get(report, "rows"), i, row)
    {
        const char *verdict = text_of(row, "verdict");
        if (strcmp(verdict, "teaches") != 0 && strcmp(verdict, "hint") != 0) continue;
        const json_t *questions = json_object_get(row, "questions");
        const json_t *kinds = json_object_get(row, "kinds");
        if (!json_array_size(questions) && !json_array_size(kinds)) continue;
        fprintf(out, "\n%s\n", text_of(row, "name"));
        json_array_foreach(questions, k, one)
        {
            fprintf(out, "  question %-24.24s", text_of(one, "question"));
            cell(out, one, "without_length", 15);
            fprintf(out, "  best");
            cell(out, one, "gain", 15);
            fprintf(out, "  %lld histories with distinct outcomes\n", integer(one, "distinct"));
        }
        json_array_foreach(kinds, k, one) fprintf(
            out, "  reply %-16.16s %s%-24.24s %6lld replies: source %6.2f, %s %6.2f\n",
            text_of(one, "kind"), text_of(one, "question")[0] ? "to " : "",
            text_of(one, "question"), integer(one, "replies"), json_number_or_nan(one, "source"),
            text_of(report, "target"), json_number_or_nan(one, "target"));
    }
}

void probe_report_text(const json_t *report, FILE *out)
{
    const json_t *sentence;
    size_t i;
    head_text(report, out);
    rows_text(report, out);
    fits_text(report, out);
    kinds_text(report, out);
    fprintf(out, "\n");
    json_array_foreach(json_object_get(report, "words"), i, sentence)
        fprintf(out, "%s\n", json_string_value(sentence));
}
