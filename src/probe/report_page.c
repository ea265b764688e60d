/* A report as one HTML page without pictures, scripts or other files; see report.h. */
#include "src/probe/report.h"

#include "src/base/json.h"

#include <math.h>
#include <string.h>

static void escaped(FILE *out, const char *text)
{
    for (; *text; text++) switch (*text) {
        case '<':
            fputs("&lt;", out);
            break;
        case '>':
            fputs("&gt;", out);
            break;
        case '&':
            fputs("&amp;", out);
            break;
        default:
            fputc(*text, out);
        }
}

static void head(FILE *out, const char *tag, const char *text)
{
    fprintf(out, "<%s>", tag);
    escaped(out, text);
    fprintf(out, "</%s>", tag);
}

static void member(FILE *out, const json_t *object, const char *name)
{
    head(out, "td", json_string_value(json_object_get(object, name)));
}

static void cell(FILE *out, const json_t *object, const char *name)
{
    char error[80];
    snprintf(error, sizeof error, "%s_error", name);
    const double value = json_number_or_nan(object, name);
    if (isfinite(value))
        fprintf(out, "<td class=n>%.3f <small>(%.3f)</small></td>", value,
                json_number_or_nan(object, error));
    else
        fprintf(out, "<td class=n>-</td>");
}

static void integer(FILE *out, const json_t *object, const char *name)
{
    fprintf(out, "<td class=n>%lld</td>",
            (long long)json_integer_value(json_object_get(object, name)));
}

static void rows_page(const json_t *report, FILE *out)
{
    const json_t *row, *pair;
    size_t i, k;
    fprintf(out, "<table><tr><th>source<th>role<th>within<th>length");
    json_array_foreach(json_object_get(report, "metrics"), i, row) for (k = 0; k < 4; k++)
    {
        static const char *const parts[] = {"", ", length out", ": pairs right", ": best - random"};
        fprintf(out, "<th>%s%s", json_string_value(json_object_get(row, "name")), parts[k]);
    }
    fprintf(out, "<th>verdict</tr>\n");
    json_array_foreach(json_object_get(report, "rows"), i, row)
    {
        fprintf(out, "<tr class=\"%s\">", json_string_value(json_object_get(row, "verdict")));
        member(out, row, "name");
        member(out, row, "role");
        cell(out, row, "within");
        cell(out, row, "length");
        json_array_foreach(json_object_get(row, "metrics"), k, pair)
        {
            cell(out, pair, "correlation");
            cell(out, pair, "without_length");
            cell(out, pair, "pairs_right");
            cell(out, pair, "gain");
        }
        member(out, row, "verdict");
        fprintf(out, "</tr>\n");
    }
    fprintf(out, "</table>\n");
}

static void fits_page(const json_t *report, FILE *out)
{
    const json_t *fit = json_object_get(report, "fit"), *one, *point;
    size_t i, k;
    if (!fit) return;
    head(out, "h2", "Fits, on dialogues that they were not fitted on");
    fprintf(out, "<table><tr><th>columns<th>all labels<th>shuffled<th>deviation");
    one = json_array_get(json_object_get(fit, "fits"), 0);
    json_array_foreach(json_object_get(one, "by_labels"), k, point) fprintf(
        out, "<th>%lld labels", (long long)json_integer_value(json_object_get(point, "labels")));
    fprintf(out, "</tr>\n");
    json_array_foreach(json_object_get(fit, "fits"), i, one)
    {
        fprintf(out, "<tr>");
        member(out, one, "sets");
        cell(out, one, "correlation");
        fprintf(out, "<td class=n>%.3f</td><td class=n>%.3f</td>",
                json_number_or_nan(one, "shuffled"), json_number_or_nan(one, "shuffled_deviation"));
        json_array_foreach(json_object_get(one, "by_labels"), k, point)
            cell(out, point, "correlation");
        fprintf(out, "</tr>\n");
    }
    fprintf(out, "</table>\n");
}

static void kinds_page(const json_t *report, FILE *out)
{
    const json_t *row, *one;
    size_t i, k;
    json_array_foreach(json_object_get(report, "rows"), i, row)
    {
        const json_t *questions = json_object_get(row, "questions");
        const json_t *kinds = json_object_get(row, "kinds");
        if (!json_array_size(questions) && !json_array_size(kinds)) continue;
        head(out, "h3", json_string_value(json_object_get(row, "name")));
        fprintf(out, "<table><tr><th>question<th>distinct<th>length out<th>best - random</tr>\n");
        json_array_foreach(questions, k, one)
        {
            fprintf(out, "<tr>");
            member(out, one, "question");
            integer(out, one, "distinct");
            cell(out, one, "without_length");
            cell(out, one, "gain");
            fprintf(out, "</tr>\n");
        }
        fprintf(out, "</table>\n<table><tr><th>question<th>reply<th>replies<th>source<th>");
        escaped(out, json_string_value(json_object_get(report, "target")));
        fprintf(out, "</tr>\n");
        json_array_foreach(kinds, k, one)
        {
            fprintf(out, "<tr>");
            member(out, one, "question");
            member(out, one, "kind");
            integer(out, one, "replies");
            fprintf(out, "<td class=n>%.2f</td><td class=n>%.2f</td></tr>\n",
                    json_number_or_nan(one, "source"), json_number_or_nan(one, "target"));
        }
        fprintf(out, "</table>\n");
    }
}

void probe_report_page(const json_t *report, FILE *out)
{
    const json_t *sentence;
    size_t i;
    fprintf(out, "<!doctype html>\n<meta charset=utf-8>\n<title>regard probe</title>\n<style>\n"
                 "body { font: 15px sans-serif; margin: 2em }\n"
                 "table { border-collapse: collapse; margin: 1em 0 }\n"
                 "td, th { padding: 2px 8px; border-bottom: 1px solid #ccc; text-align: left }\n"
                 ".n { text-align: right }\n"
                 ".itself, .teaches { background: #e4f4e4 }\n.against { background: #f8e0e0 }\n"
                 "small { color: #666 }\n</style>\n");
    head(out, "h1", "What can teach here");
    json_array_foreach(json_object_get(report, "words"), i, sentence)
        head(out, "p", json_string_value(sentence));
    fprintf(out, "<p>%lld histories of ",
            (long long)json_integer_value(json_object_get(report, "histories")));
    escaped(out, json_string_value(json_object_get(report, "data")));
    fprintf(out, ", %.3g replies each, by ", json_number_or_nan(report, "candidates"));
    escaped(out, json_string_value(json_object_get(report, "model")));
    fprintf(out, "; verdicts are of ");
    escaped(out, json_string_value(json_object_get(report, "target")));
    fprintf(out, "; standard errors over dialogues in brackets.</p>\n");
    rows_page(report, out);
    fits_page(report, out);
    kinds_page(report, out);
}
