/* eval.history: own.  The turns of a dialogue are answered one after the other, each with the
 * model's own replies to the turns before it as its history; the user says what the data have. */
#ifndef REGARD_EVALUATE_OWN_HISTORY_H
#define REGARD_EVALUATE_OWN_HISTORY_H

#include "src/rollout/generate.h"
#include "src/rollout/language.h"

/* The turns, those of a dialogue together and in order; arrays of `count`. */
struct own_turns {
    const struct dialogue *const *dialogue;
    const int64_t *message;       /* the gold reply's, in its dialogue */
    struct prompt *prompts;       /* with gold histories, in whose place their own come */
    const struct reply_row *rows; /* row i reads prompt i */
    struct reply *replies;        /* made */
    int64_t count;
};

struct own_histories; /* what was said */

/* stop: NULL, or asked between batches (of infer.batch replies) whether to leave off: then *stopped
 * and replies are missing. */
status own_histories_answer(struct generator *generator, const struct rollout_settings *settings,
                            const struct language *language, const struct own_turns *turns,
                            bool (*stop)(void), bool *stopped, struct own_histories **out);
/* The messages [*count] before turn i. */
const struct message *own_histories_messages(const struct own_histories *own, int64_t i,
                                             int64_t *count);
void own_histories_free(struct own_histories *own); /* NULL is allowed */

#endif
