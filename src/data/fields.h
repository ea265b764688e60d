/* What a data line may say beside its messages: answer, reject, verify, given; and lines of a
 * question with steps and answer. */
#ifndef REGARD_DATA_FIELDS_H
#define REGARD_DATA_FIELDS_H

#include "src/base/json.h"
#include "src/data/dialogue.h"

bool text_is_blank(const char *text);
/* Without the blanks around it; the caller frees it. */
char *text_trimmed(const char *text, size_t size);

/* The messages of `out` are there already.  where: "FILE:LINE". */
status fields_read(const json_t *line, const char *where, struct dialogue *out);
/* {"question","steps","answer"}: tells, and reads it with its messages and fields.  For generation
 * the question is the only message. */
bool is_reasoning(const json_t *line);
status reasoning_read(const json_t *line, const char *where, enum dataset_need need,
                      struct dialogue *out);

#endif
