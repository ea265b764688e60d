/* What eval prints, and two of its files (src/evaluate/evaluation_write.h) side by side. */
#ifndef REGARD_TOOLS_EVALUATION_FILE_H
#define REGARD_TOOLS_EVALUATION_FILE_H

#include "src/evaluate/evaluate.h"

/* A line a metric that was measured. */
void evaluation_print(const struct evaluate_settings *settings,
                      const struct evaluation *evaluation);
/* A line a metric: both values, their difference and its standard error over resamples of the
 * dialogues, the same ones for both files; no error where a metric is of all replies together, or
 * of fewer than BOOTSTRAP_DIALOGUES dialogues, or where the files are not of the same dialogues.
 * Metrics that settings must ask for have a line where a file has them; those by eval.encoder or
 * eval.on_topic no difference where the files' were not the same. */
status evaluation_files_compare(const char *before, const char *after,
                                struct evaluate_settings settings);

#endif
