/* One line of JSON Lines to a dialogue and back; dataset.c puts lines together. */
#ifndef REGARD_DATA_JSONL_H
#define REGARD_DATA_JSONL_H

#include "src/data/dialogue.h"

#include <stddef.h>
#include <stdio.h>

/* where: "FILE:LINE", put before every message. */
status dialogue_parse(const char *text, size_t size, const char *where, enum dataset_need need,
                      struct dialogue *out);
void dialogue_write(FILE *out, const struct dialogue *dialogue); /* its id, messages and slots */
/* A message's members "role", "name" (NULL: none) and "content", without the braces. */
void message_write(FILE *out, enum dialogue_role role, const char *name, const char *text);

#endif
