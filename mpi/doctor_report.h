/* What an examination of a machine and a launch found: a line each, to act on. */
#ifndef REGARD_MPI_DOCTOR_REPORT_H
#define REGARD_MPI_DOCTOR_REPORT_H

#include "src/base/status.h"

#include <stdio.h>

enum doctor_level { DOCTOR_OK, DOCTOR_WARNING, DOCTOR_PROBLEM };

struct doctor_finding {
    enum doctor_level level;
    char what[32], value[600], advice[400]; /* advice: "" of what is fine */
    int more; /* findings of the same level and `what` that were left out behind it */
};

/* Nine kinds of findings come once a host (doctor_judge.c; each level is a kind of its own), all
 * others once: there is room for every kind, however many hosts there are. */
enum { DOCTOR_ALIKE = 8, DOCTOR_FINDINGS = 9 * DOCTOR_ALIKE + 56 };
struct doctor_report {
    struct doctor_finding list[DOCTOR_FINDINGS];
    int count;
};

/* advice: what to do; NULL: nothing.  Of DOCTOR_ALIKE with this level and `what` the last counts
 * how many more there are: hosts may be thousands. */
void doctor_add(struct doctor_report *report, enum doctor_level level, const char *what,
                const char *advice, const char *format, ...) __attribute__((format(printf, 5, 6)));
enum doctor_level doctor_worst(const struct doctor_report *report);
/* A page, or a JSON object a finding in a list. */
void doctor_print(const struct doctor_report *report, FILE *out);
status doctor_print_json(const struct doctor_report *report, FILE *out);

#endif
