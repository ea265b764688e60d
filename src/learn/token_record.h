/* What an update did to single tokens, for samples: of the turns whose `credit` and `ratio` have
 * room (src/rollout/experience.h). */
#ifndef REGARD_LEARN_TOKEN_RECORD_H
#define REGARD_LEARN_TOKEN_RECORD_H

#include "src/learn/learner.h"
#include "src/rollout/experience.h"

struct token_record {
    int64_t count;            /* of what the policy reads of these turns: turns, or their spans */
    struct learn_turn *turns; /* [count] */
    float **logp;             /* [count] into the turns' ratio */
};

/* Before the first step, with advantages.  turns: what the policy reads of experiences [count], in
 * their order; of turn i parts[i] of them, NULL: one. */
void token_record_begin(struct token_record *record, struct experience *const *experiences,
                        int64_t count, const struct learn_turn *turns, const int64_t *parts);
/* After the last: reads the replies with the policy as it is now. */
status token_record_end(struct token_record *record, struct learner *learner);
void token_record_free(struct token_record *record);

#endif
