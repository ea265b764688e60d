/* A run's samples/step-N.jsonl (src/evaluate/sample.h), in the form that the page reads: of each
 * step its histories, told apart, and its replies with what stands beside each of their tokens. */
#ifndef REGARD_PAGE_SAMPLES_H
#define REGARD_PAGE_SAMPLES_H

#include "src/page/run_record.h"

#include <stdio.h>

struct sample_steps {
    char *json; /* [{"step":20,"histories":[..],"replies":[..]}, ..]; freed by the caller */
    size_t size;
};

/* Steps and replies that would take more than `bytes` are left out, which is noted: of the steps
 * the first, the last and those between them that halve what is left are kept. */
status samples_read(struct run_record *run, size_t bytes, struct sample_steps *out);

#endif
