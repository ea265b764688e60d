/* See metric_list.h. */
#include "src/report/metric_list.h"

#include <assert.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void metric_list_add(struct metric_list *metrics, double value, const char *format, ...)
{
    assert(metrics->count < METRIC_LIST_MAX);
    char *name = metrics->names[metrics->count];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(name, METRIC_NAME_MAX, format, arguments);
    va_end(arguments);
    metrics->list[metrics->count++] = (struct metric){.name = name, .value = value};
}

void metric_list_add_json(struct metric_list *metrics, const char *name, const char *json)
{
    if (!json) return;
    metric_list_add(metrics, NAN, "%s", name);
    metrics->list[metrics->count - 1].json = json;
}

double metric_list_value(const struct metric_list *metrics, const char *name)
{
    for (int64_t i = 0; i < metrics->count; i++)
        if (!strcmp(metrics->list[i].name, name)) return metrics->list[i].value;
    return NAN;
}
