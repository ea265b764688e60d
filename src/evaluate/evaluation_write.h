/* An evaluation as a file. */
#ifndef REGARD_EVALUATE_EVALUATION_WRITE_H
#define REGARD_EVALUATE_EVALUATION_WRITE_H

#include "src/base/file.h"
#include "src/evaluate/evaluate.h"

/* The SHA-256 of the first `dialogues` lines of the data, each with a line break. */
status evaluation_lines(const struct dataset *data, int64_t dialogues, char hex[SHA256_HEX]);
/* by, data: what the evaluation is made by, and of; step: a run's, -1: it is of none. */
status evaluation_write(const char *path, int64_t step, const struct evaluate_settings *settings,
                        const struct evaluators *by, const struct evaluation *evaluation,
                        const struct dataset *data);

#endif
