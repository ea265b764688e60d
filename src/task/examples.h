/* What supervised fine-tuning learns from: one example a turn. */
#ifndef REGARD_TASK_EXAMPLES_H
#define REGARD_TASK_EXAMPLES_H

#include "src/data/dialogue.h"
#include "src/text/history.h"

/* The history before a turn with its cuts (struct encoded_history), and the turn's text with the end
 * token. */
struct example {
    int32_t *history, *reply, *cuts;
    int64_t history_count, reply_count, cut_count;
};

struct example_list {
    struct example *examples;
    int64_t count;
    int64_t overlong;      /* turns left out: their prompt alone exceeds history.max_tokens */
    int64_t overlong_line; /* of the first of them */
};

/* All turns of the given role.  ROLE_USER (sft.role: user): the turns after the first. */
status examples_make(const struct history_options *options, const struct dataset *data,
                     enum dialogue_role role, struct example_list *out);
void examples_free(struct example_list *list);

#endif
