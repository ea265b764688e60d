/* Spans as turns of the critic; see span_turns.h. */
#include "src/learn/span_turns.h"

#include "src/base/memory.h"

#include <stdlib.h>
#include <string.h>

/* A span's history ends before it, and is cut before the last token of the history of each of the
 * reply's earlier spans, which such a pass computes apart: a causal model so computes a token once
 * for all spans behind it. */
static void span_fill(struct learn_turn *turn, const struct learn_turn *of, const int32_t *begin,
                      int64_t span, int64_t spans, int32_t *tokens, int32_t *cuts)
{
    const int64_t end = span + 1 < spans ? begin[span + 1] : of->reply_count;
    *turn = *of;
    turn->reply = of->reply + begin[span];
    turn->reply_count = end - begin[span];
    if (of->logp_old) turn->logp_old = of->logp_old + begin[span];
    if (of->logp_ref) turn->logp_ref = of->logp_ref + begin[span];
    if (of->logp_begun) turn->logp_begun = of->logp_begun + begin[span];
    if (of->advantage) turn->advantage = of->advantage + begin[span];
    if (of->marks) turn->marks = of->marks + begin[span];
    if (!span) return;
    memcpy(tokens, of->history, (size_t)of->history_count * sizeof *tokens);
    memcpy(tokens + of->history_count, of->reply, (size_t)begin[span] * sizeof *tokens);
    if (of->cut_count) memcpy(cuts, of->cuts, (size_t)of->cut_count * sizeof *cuts);
    for (int64_t i = 0; i < span; i++)
        cuts[of->cut_count + i] = (int32_t)of->history_count + begin[i] - 1;
    turn->history = tokens;
    turn->history_count = of->history_count + begin[span];
    turn->cuts = cuts;
    turn->cut_count = of->cut_count + span;
}

void span_turns_make(struct span_turns *spans, const struct learn_turn *turns, int64_t count,
                     const int64_t *span_count, const int32_t *begin)
{
    int64_t all = 0, tokens = 0, cuts = 0;
    for (int64_t i = 0; i < count; i++)
        for (int64_t k = 0; k < span_count[i]; k++, all++) {
            if (!k) continue;
            tokens += turns[i].history_count + begin[all];
            cuts += turns[i].cut_count + k;
        }
    *spans =
        (struct span_turns){.turns = memory_allocate(((size_t)all + 1) * sizeof *spans->turns),
                            .count = all,
                            .tokens = memory_allocate(((size_t)tokens + 1) * sizeof *spans->tokens),
                            .cuts = memory_allocate(((size_t)cuts + 1) * sizeof *spans->cuts)};
    tokens = cuts = all = 0;
    for (int64_t i = 0; i < count; i++) {
        for (int64_t k = 0; k < span_count[i]; k++) {
            struct learn_turn *turn = &spans->turns[all + k];
            span_fill(turn, &turns[i], begin + all, k, span_count[i], spans->tokens + tokens,
                      spans->cuts + cuts);
            if (!k) continue;
            tokens += turn->history_count;
            cuts += turn->cut_count;
        }
        all += span_count[i];
    }
}

void span_turns_free(struct span_turns *spans)
{
    free(spans->turns);
    free(spans->tokens);
    free(spans->cuts);
    *spans = (struct span_turns){0};
}
