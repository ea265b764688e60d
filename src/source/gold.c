/* gold: how much of the data's own reply to the same turn a reply has: ROUGE-L F1
 * (src/text/text_metrics.h); 0 where the data have no reply to compare with. */
#include "src/source/source.h"

#include "src/text/text_metrics.h"

static status check(void *state, const struct dialogue *line)
{
    (void)state;
    if (line->message_count && line->messages[line->message_count - 1].role == ROLE_ASSISTANT)
        return NULL;
    FAIL(STATUS_INPUT, "the source gold finds no assistant's message at the end of this line to "
                       "compare replies with");
}

static status compute(void *state, const struct source_reply *replies, int64_t count,
                      double *values, struct source_spans *spans)
{
    (void)state, (void)spans;
    for (int64_t i = 0; i < count; i++) {
        const struct source_reply *one = &replies[i];
        if (one->message < 0) continue;
        values[i] = text_rouge_l(one->text, one->line->messages[one->message].content);
    }
    return NULL;
}

const struct source source_gold = {
    .name = "gold", .needs = SOURCE_NEEDS_TEXT, .check = check, .compute = compute};
