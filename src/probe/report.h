/* What a probe found, as one JSON object (probe.json), as text and as a page. */
#ifndef REGARD_PROBE_REPORT_H
#define REGARD_PROBE_REPORT_H

#include "src/probe/fits.h"

#include <jansson.h>
#include <stdio.h>

/* fits: NULL without --fit.  target: the metric that verdicts are of.  The object has the figures
 * of every source, form, control and fit with every metric, and `words`, plain sentences. */
json_t *probe_report(const struct probe_data *data, const struct probe_settings *settings,
                     const struct probe_fits *fits, const struct probe_column *target,
                     const char *model, const char *path);
/* Of the fits alone: held-out figures for fit.json; a reference to a part of the report. */
const json_t *probe_report_fits(const json_t *report);

void probe_report_text(const json_t *report, FILE *out);
void probe_report_page(const json_t *report, FILE *out);

#endif
