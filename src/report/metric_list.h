/* Metrics gathered one by one, with room for names that are put together. */
#ifndef REGARD_REPORT_METRIC_LIST_H
#define REGARD_REPORT_METRIC_LIST_H

#include "src/report/metrics.h"

enum { METRIC_LIST_MAX = 320, METRIC_NAME_MAX = 64 };

struct metric_list { /* zeros: empty.  Not to be copied: list points to names */
    int64_t count;
    struct metric list[METRIC_LIST_MAX];
    char names[METRIC_LIST_MAX][METRIC_NAME_MAX];
};

/* Adds a value under a name given as printf's format. */
void metric_list_add(struct metric_list *metrics, double value, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* What is no number, as JSON, which stays the caller's; NULL: nothing is added. */
void metric_list_add_json(struct metric_list *metrics, const char *name, const char *json);
/* NaN where no metric has the name. */
double metric_list_value(const struct metric_list *metrics, const char *name);

#endif
