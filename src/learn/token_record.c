/* Credit and ratios of single tokens; see token_record.h. */
#include "src/learn/token_record.h"

#include "src/base/memory.h"
#include "src/base/timeline.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void part_add(struct token_record *record, const struct experience_turn *turn,
                     const struct learn_turn *part)
{
    const size_t n = (size_t)record->count + 1;
    const ptrdiff_t begin = part->logp_old - turn->logp;
    record->turns = memory_resize(record->turns, n * sizeof *record->turns);
    record->logp = memory_resize(record->logp, n * sizeof *record->logp);
    record->turns[record->count] = *part;
    record->logp[record->count++] = turn->ratio + begin;
    memcpy(turn->credit + begin, part->advantage, (size_t)part->reply_count * sizeof *turn->credit);
}

void token_record_begin(struct token_record *record, struct experience *const *experiences,
                        int64_t count, const struct learn_turn *turns, const int64_t *parts)
{
    *record = (struct token_record){0};
    for (int64_t e = 0, i = 0, at = 0; e < count; e++)
        for (int64_t k = 0; k < experiences[e]->turn_count; k++, i++) {
            const struct experience_turn *turn = &experiences[e]->turns[k];
            const int64_t end = at + (parts ? parts[i] : 1);
            for (; at < end; at++)
                if (turn->credit && turns[at].reply_count) part_add(record, turn, &turns[at]);
        }
}

status token_record_end(struct token_record *record, struct learner *learner)
{
    if (!record->count) return NULL;
    timeline_begin(TIME_READ);
    status s =
        learner_logp(learner, learner->policy_run, record->turns, record->count, record->logp);
    timeline_end();
    for (int64_t i = 0; !s && i < record->count; i++)
        for (int64_t t = 0; t < record->turns[i].reply_count; t++)
            record->logp[i][t] =
                (float)exp((double)record->logp[i][t] - (double)record->turns[i].logp_old[t]);
    return s;
}

void token_record_free(struct token_record *record)
{
    free(record->turns);
    free(record->logp);
}
