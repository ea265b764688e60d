/* What reward models learn from: a history, a right reply to it and a wrong one; of preferences the
 * chosen and the rejected, of dialogues the true reply and one of another dialogue. */
#ifndef REGARD_TASK_REWARD_EXAMPLES_H
#define REGARD_TASK_REWARD_EXAMPLES_H

#include "src/data/preferences.h"
#include "src/text/history.h"

struct reward_reply {
    int32_t *tokens; /* [count], the end token included */
    int64_t count;
};

struct reward_example {
    int32_t *history, *cuts;
    uint8_t *special; /* [history_count] 1: a marker, a template's, an end; NULL of dialogues */
    int64_t history_count, cut_count;
    struct reward_reply right, wrong; /* wrong.tokens NULL: of another dialogue, drawn */
    int64_t dialogue, service;        /* of dialogues; service -1: the line names none */
    int64_t line;                     /* of the data, from 1 */
};

struct reward_examples {
    struct reward_example *list;
    int64_t count;
    int64_t *by_service;    /* of dialogues: the examples by service; NULL: no line names one */
    int64_t *service_begin; /* [services + 1] into by_service */
    int64_t services;
    int64_t longest;                 /* tokens that a sequence may have; INT64_MAX: any number */
    int64_t overlong, overlong_line; /* left out: their prompt alone exceeds history.max_tokens */
};

status reward_examples_of_pairs(const struct history_options *options,
                                const struct preferences *preferences, struct reward_examples *out);
/* Every reply of the assistant is an example.  "service" of a line (text) says what it is about. */
status reward_examples_of_dialogues(const struct history_options *options,
                                    const struct dataset *data, struct reward_examples *out);
/* rm.pairs: keeps the first n in prompt order; 0: all. */
void reward_examples_keep(struct reward_examples *examples, int64_t seed, int64_t n);
/* Takes out those with a sequence longer than a model's longest, and draws no reply that would be
 * too long; how many, and the line of the first. */
int64_t reward_examples_drop_longer(struct reward_examples *examples, int64_t longest,
                                    int64_t *line);
/* Whether each has a reply of another dialogue, and not its own, to be held against. */
status reward_examples_check(const struct reward_examples *examples, const char *path);
/* Of examples that were checked: the wrong reply to example `index` at a place of the endless
 * order: its own, or one of another dialogue, half of them of one of the same service where lines
 * name services.  A pure function of seed, place and held_out, which keeps draws of held-out
 * examples apart. */
struct reward_reply reward_examples_wrong(const struct reward_examples *examples, int64_t seed,
                                          int64_t index, int64_t place, bool held_out);
/* In which order a teacher reads the two replies of what stands at a place: 1, the right one first,
 * or -1; likewise. */
int reward_examples_order(int64_t seed, int64_t place, bool held_out);
/* The most tokens of a sequence, and cuts. */
void reward_examples_limits(const struct reward_examples *examples, int64_t *tokens, int64_t *cuts);
void reward_examples_free(struct reward_examples *examples);

#endif
