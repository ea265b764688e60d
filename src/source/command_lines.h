/* The lines of reward.command's protocol: a request a reply, and what it is answered. */
#ifndef REGARD_SOURCE_COMMAND_LINES_H
#define REGARD_SOURCE_COMMAND_LINES_H

#include "src/reward/span.h"
#include "src/source/source.h"

#include <stdio.h>

enum { COMMAND_ID_MAX = 64 };

/* "DIALOGUE/TURN/CANDIDATE". */
void command_id(const struct source_reply *reply, char id[COMMAND_ID_MAX]);
/* {"id","turn","candidate","messages":[{"role","content"},..],"reply","pieces":[..],"line":{..}}
 * and a newline.  pieces: what each token of the reply stands for; line: null where there is none.
 */
void command_request_write(FILE *out, const struct source_reply *reply);

/* {"id","reward"} or {"id","rewards":[{"begin","end","value"},..]}. */
struct command_answer {
    char id[COMMAND_ID_MAX];
    double reward;
    struct span *spans; /* [span_count], owned; NULL: `reward` counts */
    int64_t span_count;
};
/* A line [length] of the program's: says why it is no answer.  Other members are let be. */
status command_answer_read(const char *line, size_t length, struct command_answer *out);

#endif
