/* verifier: whether a reply is right by what the data line says (docs/reward.md, Sources): 1 or 0;
 * of the form slots the share of the turn's slots that it names. */
#include "src/data/corpus.h"
#include "src/source/judgement.h"
#include "src/source/source.h"

#include <stdlib.h>

static bool rejected(const struct dialogue *line, const char *text)
{
    for (char *const *reject = line->reject; reject && *reject; reject++)
        if (answer_contains(text, *reject)) return true;
    return false;
}

static bool exact(const struct judgement *judgement, const char *text, const char *answer)
{
    char *found = answer_extract(text, judgement->extract);
    const bool equal = found && answer_equal(found, answer);
    free(found);
    return equal;
}

/* The slots of the turn; NULL: it has none. */
static char *const *slots_of(const struct source_reply *reply)
{
    return reply->line->slots && reply->message >= 0 ? reply->line->slots[reply->message] : NULL;
}

/* The line's answer is that of its last reply, which a line that ends in a user turn has not: then
 * of the one that follows.  Nobody says what is right of replies that a rollout gives later. */
static bool answered_here(const struct source_reply *reply)
{
    const int64_t all = reply->line->message_count;
    return reply->message >= 0 ? reply->message == all - 1 : reply->message_count == all;
}

static double verify(const struct judgement *judgement, const struct source_reply *reply)
{
    const struct dialogue *line = reply->line;
    const enum verify_form form = judgement_form(judgement, line);
    if (rejected(line, reply->text)) return 0;
    if (form == VERIFY_SLOTS) {
        char *const *slots = slots_of(reply);
        const double share = slots ? slot_carry_over(slots, reply->text) : 0;
        return share > 0 ? share : 0;
    }
    if (!line->answer || !answered_here(reply)) return 0;
    if (form == VERIFY_EXACT) return exact(judgement, reply->text, line->answer);
    if (form == VERIFY_CONTAINS) return answer_contains(reply->text, line->answer);
    return answer_match(reply->text, line->answer);
}

static status compute(void *state, const struct source_reply *replies, int64_t count,
                      double *values, struct source_spans *spans)
{
    (void)spans;
    for (int64_t i = 0; i < count; i++) values[i] = verify(state, &replies[i]);
    return NULL;
}

static status check(void *state, const struct dialogue *line)
{
    const enum verify_form form = judgement_form(state, line);
    if (form == VERIFY_SLOTS ? line->slots != NULL : line->answer != NULL) return NULL;
    FAIL(STATUS_INPUT, "the source verifier finds no \"%s\" in this line to judge replies by%s",
         form == VERIFY_SLOTS ? "slots" : "answer",
         form == VERIFY_MATCH ? ", nor \"slots\" in its messages" : "");
}

const struct source source_verifier = {.name = "verifier",
                                       .needs = SOURCE_NEEDS_TEXT,
                                       .open = judgement_open,
                                       .check = check,
                                       .compute = compute,
                                       .close = free};
