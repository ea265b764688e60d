/* What an examination of a machine and a launch found: a line each, to act on. */
#ifndef REGARD_MPI_DOCTOR_REPORT_H
#define REGARD_MPI_DOCTOR_REPORT_H

#include "src/base/status.h"

#include <stdio.h>

enum doctor_level { DOCTOR_OK, DOCTOR_WARNING, DOCTOR_PROBLEM };

struct doctor_finding {
    enum doctor_level level;
    char what[32], value[600], advice[400]; /* advice: "" of what is fine */
};

enum { DOCTOR_FINDINGS = 64 };
struct doctor_report {
    struct doctor_finding list[DOCTOR_FINDINGS];
    int count; /* what is beyond DOCTOR_FINDINGS is left out */
};

/* advice: what to do; NULL: nothing. */
void doctor_add(struct doctor_report *report, enum doctor_level level, const char *what,
                const char *advice, const char *format, ...) __attribute__((format(printf, 5, 6)));
enum doctor_level doctor_worst(const struct doctor_report *report);
/* A page, or a JSON object a finding in a list. */
void doctor_print(const struct doctor_report *report, FILE *out);
status doctor_print_json(const struct doctor_report *report, FILE *out);

#endif
