/* majority: the share of the replies to one dialogue and turn that give the reply's answer (TTRL,
 * arXiv 2504.16084), itself among them; 0 for a reply without an answer.  The answer is the number
 * that the reply ends with, or its whole text where the line is verified by text. */
#include "src/source/judgement.h"
#include "src/source/source.h"

#include "src/base/memory.h"

#include <stdlib.h>
#include <string.h>

static bool by_text(const struct judgement *judgement, const struct dialogue *line)
{
    const enum verify_form form = judgement->form != VERIFY_AUTO ? judgement->form : line->verify;
    return form != VERIFY_AUTO && form != VERIFY_EXACT;
}

/* NULL: none; to be freed. */
static char *answer_of(const struct judgement *judgement, const struct source_reply *reply)
{
    if (!by_text(judgement, reply->line)) return answer_extract(reply->text, judgement->extract);
    char *text = answer_normal(reply->text);
    if (*text) return text;
    free(text);
    return NULL;
}

static bool same(const struct judgement *judgement, const struct dialogue *line, const char *a,
                 const char *b)
{
    if (!a || !b) return false;
    return by_text(judgement, line) ? !strcmp(a, b) : answer_equal(a, b);
}

/* The replies to one dialogue and turn: answers [count]. */
static void shares(const struct judgement *judgement, const struct source_reply *replies,
                   char *const *answers, int64_t count, double *values)
{
    for (int64_t i = 0; i < count; i++) {
        int64_t votes = 0;
        for (int64_t k = 0; k < count; k++)
            votes += same(judgement, replies[i].line, answers[i], answers[k]);
        values[i] = (double)votes / (double)count;
    }
}

static status compute(void *state, const struct source_reply *replies, int64_t count,
                      double *values, struct source_spans *spans)
{
    char **answers = memory_allocate(((size_t)count + 1) * sizeof *answers);
    (void)spans;
    for (int64_t i = 0; i < count; i++) answers[i] = answer_of(state, &replies[i]);
    for (int64_t begin = 0, end; begin < count; begin = end) {
        const struct turn_key *first = &replies[begin].key;
        for (end = begin; end < count && replies[end].key.dialogue == first->dialogue &&
                          replies[end].key.turn == first->turn;)
            end++;
        shares(state, replies + begin, answers + begin, end - begin, values + begin);
    }
    for (int64_t i = 0; i < count; i++) free(answers[i]);
    free(answers);
    return NULL;
}

const struct source source_majority = {.name = "majority",
                                       .needs = SOURCE_NEEDS_TEXT,
                                       .open = judgement_open,
                                       .compute = compute,
                                       .close = free};
