/* What supervised fine-tuning learns from: one example a turn. */
#ifndef REGARD_TASK_EXAMPLES_H
#define REGARD_TASK_EXAMPLES_H

#include "src/data/dialogue.h"
#include "src/text/history.h"

/* The history before a turn with its cuts (struct encoded_history), and the turn's text with the
 * end token. */
struct example {
    int32_t *history, *reply, *cuts;
    int64_t history_count, reply_count, cut_count;
    int64_t dialogue; /* counted among those that have examples */
    int64_t line;     /* of the data, from 1 */
};

struct example_list {
    struct example *examples; /* those of a dialogue side by side, in the order of its turns */
    int64_t count, dialogues;
    int64_t overlong;      /* turns left out: their prompt alone exceeds history.max_tokens */
    int64_t overlong_line; /* of the first of them */
    int64_t pruned, whole; /* whose history history.prune shortened; lost messages whole, because it
                            * could not make room enough */
};

/* All turns of the given role.  ROLE_USER (sft.role: user): the turns after the first. */
status examples_make(const struct history_options *options, const struct dataset *data,
                     enum dialogue_role role, struct example_list *out);
/* Takes out the examples whose history and reply are longer than a model's longest sequence; how
 * many, and the line of the first of them. */
int64_t examples_drop_longer(struct example_list *list, int64_t max, int64_t *line);
/* The examples of an epoch: dialogues in prompt order, the turns of each side by side, so that a
 * pass computes what they share once.  order [count], indices into examples. */
void examples_order(const struct example_list *list, int64_t seed, int64_t epoch, int64_t *order);
void examples_free(struct example_list *list);

#endif
