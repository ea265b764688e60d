/* Preferences as Hugging Face's data sets and TRL have them, and their conversion to our lines
 * (preferences.h). */
#ifndef REGARD_DATA_FOREIGN_PREFERENCE_H
#define REGARD_DATA_FOREIGN_PREFERENCE_H

#include "src/base/json.h"
#include "src/base/status.h"

#include <stdbool.h>
#include <stdio.h>

/* "\n\nHuman: .. \n\nAssistant: ..", as HH has whole conversations. */
bool text_is_transcript(const char *text);
/* Whether the line has "chosen" and "rejected". */
bool foreign_is_preference(const json_t *line);
/* Writes {"messages":[..],"chosen":TEXT,"rejected":TEXT}, with the line's id.  Chosen and rejected
 * are each a reply (text, or messages by the assistant) to "prompt" or "question" (text or
 * messages) or "messages"; or a whole conversation (messages, or a transcript), of which all but
 * the last reply must be the same.  keep_system: as dialogues_import's. */
status preference_import(const json_t *line, const char *where, bool keep_system, FILE *out,
                         bool *shortened);

#endif
