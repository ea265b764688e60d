/* See doctor_report.h. */
#include "mpi/doctor_report.h"

#include <assert.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static const char *const level_names[] = {"ok", "warning", "problem"};

void doctor_add(struct doctor_report *report, enum doctor_level level, const char *what,
                const char *advice, const char *format, ...)
{
    int alike = 0;
    for (int i = 0; i < report->count; i++) {
        struct doctor_finding *before = &report->list[i];
        if (before->level != level || strcmp(before->what, what) != 0) continue;
        if (++alike == DOCTOR_ALIKE) {
            before->more++;
            return;
        }
    }
    assert(report->count < DOCTOR_FINDINGS);
    struct doctor_finding *finding = &report->list[report->count++];
    va_list arguments;
    finding->level = level;
    finding->more = 0;
    snprintf(finding->what, sizeof finding->what, "%s", what);
    snprintf(finding->advice, sizeof finding->advice, "%s", advice ? advice : "");
    va_start(arguments, format);
    vsnprintf(finding->value, sizeof finding->value, format, arguments);
    va_end(arguments);
}

enum doctor_level doctor_worst(const struct doctor_report *report)
{
    enum doctor_level worst = DOCTOR_OK;
    for (int i = 0; i < report->count; i++)
        if (report->list[i].level > worst) worst = report->list[i].level;
    return worst;
}

void doctor_print(const struct doctor_report *report, FILE *out)
{
    int counts[3] = {0};
    for (int i = 0; i < report->count; i++) {
        const struct doctor_finding *f = &report->list[i];
        counts[f->level] += 1 + f->more;
        fprintf(out, "%-8s %-18s %s%s%s\n", level_names[f->level], f->what, f->value,
                f->advice[0] ? ": " : "", f->advice);
        if (f->more)
            fprintf(out, "%-8s %-18s ... %d more of the kind\n", level_names[f->level], f->what,
                    f->more);
    }
    fprintf(out, "%d ok, %d warnings, %d problems\n", counts[DOCTOR_OK], counts[DOCTOR_WARNING],
            counts[DOCTOR_PROBLEM]);
}

status doctor_print_json(const struct doctor_report *report, FILE *out)
{
    json_t *list = json_array();
    for (int i = 0; i < report->count; i++) {
        const struct doctor_finding *f = &report->list[i];
        json_t *one = json_pack("{s:s, s:s, s:s, s:s, s:i}", "level", level_names[f->level], "what",
                                f->what, "value", f->value, "advice", f->advice, "more", f->more);
        if (!one) {
            json_decref(list);
            FAIL(STATUS_INPUT, "doctor --json: what was found of %s is no UTF-8; see it without",
                 f->what);
        }
        json_array_append_new(list, one);
    }
    json_dumpf(list, out, JSON_INDENT(1));
    json_decref(list);
    fputc('\n', out);
    return NULL;
}
