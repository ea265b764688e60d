/* Sentences of a report; see words.h. */
#include "src/probe/words.h"

#include "src/base/json.h"
#include "src/base/memory.h"
#include "src/probe/verdict.h"

#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void say(json_t *list, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void say(json_t *list, const char *format, ...)
{
    char *text;
    size_t size;
    FILE *stream = memory_stream(&text, &size);
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stream, format, arguments);
    va_end(arguments);
    memory_stream_close(stream);
    json_array_append_new(list, json_string(text));
    free(text);
}

static const char *text_of(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

static bool is(const json_t *object, const char *name, const char *text)
{
    return !strcmp(text_of(object, name), text);
}

static const json_t *target_of(const json_t *report, const json_t *row)
{
    size_t i;
    const json_t *pair;
    json_array_foreach(json_object_get(row, "metrics"), i,
                       pair) if (is(pair, "metric", text_of(report, "target"))) return pair;
    return NULL;
}

/* Kinds of question where a source that teaches does not, and kinds of reply that it takes for good
 * and the target does not. */
static void holes_say(const json_t *row, json_t *list)
{
    enum { REPLIES_LEAST = 10 };
    size_t i;
    const json_t *one;
    json_array_foreach(json_object_get(row, "questions"), i, one)
    {
        const double value = json_number_or_nan(one, "without_length"),
                     error = json_number_or_nan(one, "without_length_error");
        if (json_number_or_nan(one, "dialogues") >= VERDICT_DIALOGUES && error > 0 && value < error)
            say(list,
                "  but not for questions of the kind \"%s\" (%.3f, error %.3f): what it teaches "
                "there is chance or worse.",
                text_of(one, "question"), value, error);
    }
    json_array_foreach(json_object_get(row, "kinds"), i, one)
    {
        const double source = json_number_or_nan(one, "source"),
                     target = json_number_or_nan(one, "target");
        const double replies = json_number_or_nan(one, "replies");
        const char *question = text_of(one, "question");
        /* Both have a deviation of about 1: a mean's error is about 1/sqrt(replies). */
        if (replies >= REPLIES_LEAST && source > fmax(0.2, 2 / sqrt(replies)) && target < -0.2)
            say(list,
                "  but it puts replies of the kind \"%s\"%s%s%s above the others of their history "
                "(by %.2f deviations), which the target puts below (%.2f): a policy finds such a "
                "hole.",
                text_of(one, "kind"), question[0] ? " to questions of the kind \"" : "", question,
                question[0] ? "\"" : "", source, target);
    }
}

static void row_say(const json_t *report, const json_t *row, json_t *list)
{
    const char *name = text_of(row, "name"), *target = text_of(report, "target");
    const json_t *pair = target_of(report, row);
    const double without = json_number_or_nan(pair, "without_length"),
                 gain = json_number_or_nan(pair, "gain");
    const double error = json_number_or_nan(pair, "without_length_error");
    const bool hint = is(row, "verdict", "hint");
    if (is(row, "verdict", "itself"))
        say(list, "%s is %s itself, or orders replies just so: it can teach it (%s).", name, target,
            text_of(row, "settings"));
    else if (hint && is(row, "role", "control"))
        say(list,
            "%s, a control, correlates with %s as a hint does (%.3f, error %.3f): such hints are "
            "chance here.",
            name, target, without, error);
    else if (is(row, "verdict", "teaches") || hint)
        say(list,
            "%s %s teach %s: correlation within histories, length taken out, %.3f (error %.3f); "
            "the best of %.3g by it is better than a random one by %.3f. Set %s%s.",
            name, hint ? "may" : "can", target, without, error,
            json_number_or_nan(report, "candidates"), gain, text_of(row, "settings"),
            json_number_or_nan(row, "within") < 0.5
                ? ", since most of its variance lies between histories"
                : "");
    if (is(row, "verdict", "itself") || is(row, "verdict", "teaches") || hint) holes_say(row, list);
    if (json_is_true(json_object_get(row, "label_free")) && is(row, "role", "source") &&
        (is(row, "verdict", "teaches") || hint)) {
        const double sure = json_number_or_nan(row, "with_logprob");
        const double same = json_number_or_nan(report, "distinct_replies");
        char measure[128] = "how sure the model is already";
        if (isfinite(sure))
            snprintf(measure, sizeof measure,
                     "correlated %.2f within histories with how sure the model is (logprob)", sure);
        say(list,
            "  %s needs no label. Such rewards rise, and what they stand for falls after a while "
            "(arXiv 2506.17219, 2603.08660). What it measures is %s; %.1f of %.3g replies of a "
            "history differ now. Watch distinct_2 and a held-out %s, and stop when they fall.",
            name, measure, same, json_number_or_nan(report, "candidates"), target);
    }
}

/* "a, b, c" of the rows with a verdict; the number of them. */
static int names_of(const json_t *report, const char *verdict, char *out, size_t size)
{
    size_t i;
    const json_t *row;
    int count = 0;
    out[0] = 0;
    json_array_foreach(json_object_get(report, "rows"), i, row)
    {
        const size_t used = strlen(out);
        if (!is(row, "verdict", verdict)) continue;
        snprintf(out + used, size - used, "%s%s", count++ ? "; " : "", text_of(row, "name"));
    }
    return count;
}

static void fits_say(const json_t *report, json_t *list)
{
    const json_t *fit = json_object_get(report, "fit"), *one;
    const char *target = text_of(report, "target");
    size_t i;
    if (!fit) return;
    json_array_foreach(json_object_get(fit, "fits"), i, one)
    {
        if (!is(one, "sets", text_of(fit, "written"))) continue;
        say(list,
            "fit.json ranks by %s, fitted to %s on %lld histories: on dialogues that it was not "
            "fitted on its correlation is %.3f (error %.3f); fits to labels shuffled within "
            "histories have %.3f (deviation %.3f). It is a checker for replies like these, and "
            "nothing is claimed of others.",
            text_of(one, "sets"), target,
            (long long)json_integer_value(json_object_get(fit, "histories")),
            json_number_or_nan(one, "correlation"), json_number_or_nan(one, "correlation_error"),
            json_number_or_nan(one, "shuffled"), json_number_or_nan(one, "shuffled_deviation"));
    }
    json_array_foreach(json_object_get(fit, "adds"), i, one)
    {
        const double adds = json_number_or_nan(one, "adds"),
                     error = json_number_or_nan(one, "adds_error");
        say(list, "%s adds %.3f (error %.3f) to the other columns%s.", text_of(one, "set"), adds,
            error, fabs(adds) < 2 * error ? ": nothing that is seen" : "");
    }
}

json_t *probe_words(const json_t *report)
{
    static const struct {
        const char *verdict, *says;
    } others[] = {{"length", "know length and no more"},
                  {"same",
                   "hardly differ between the replies of a history, so that nothing is left "
                   "to climb"},
                  {"against", "rank better replies lower"},
                  {"nothing", "tell nothing that is seen here"},
                  {"unknown", "have a figure without an error, so that nothing is known of them"}};
    json_t *list = json_array();
    const json_t *row, *metric;
    size_t i;
    char names[4096];
    const long long left_out = (long long)json_integer_value(json_object_get(report, "left_out"));
    if (left_out)
        say(list,
            "Labelled histories left out: %lld, those beyond the first %lld (probe.histories=0 "
            "takes all).",
            left_out, (long long)json_integer_value(json_object_get(report, "histories")));
    json_array_foreach(json_object_get(report, "metrics"), i, metric)
    {
        if (!is(metric, "name", text_of(report, "target"))) continue;
        const long long distinct =
            (long long)json_integer_value(json_object_get(metric, "distinct"));
        const long long histories =
            (long long)json_integer_value(json_object_get(report, "histories"));
        say(list,
            "%lld of %lld histories have replies that differ in %s: the others teach nothing "
            "under advantage: group.",
            distinct, histories, text_of(report, "target"));
        if (names_of(report, "too few dialogues", names, sizeof names))
            say(list,
                "They are of %lld dialogues; below %d nothing is said of %s: take more dialogues, "
                "more candidates, a higher temperature, easier or harder data.",
                (long long)json_integer_value(json_object_get(metric, "dialogues")),
                VERDICT_DIALOGUES, text_of(report, "target"));
    }
    json_array_foreach(json_object_get(report, "rows"), i, row) row_say(report, row, list);
    for (size_t k = 0; k < sizeof others / sizeof *others; k++)
        if (names_of(report, others[k].verdict, names, sizeof names))
            say(list, "These %s: %s.", others[k].says, names);
    fits_say(report, list);
    return list;
}
