/* repHist, the share of the reply's n-gram positions whose n-gram occurs in the history, and
 * repSelf, 1 - distinct n-grams over n-gram positions of the reply; of token ids. */
#include "src/reward/ngrams.h"
#include "src/reward/settings.h"

static status rep_hist(const struct reward_settings *settings, const struct reward_turn *turn,
                       double *value)
{
    return ngram_share_in_history(turn->reply, turn->reply_count, turn->history,
                                  turn->history_count, settings->repetition_n, value);
}

static status rep_self(const struct reward_settings *settings, const struct reward_turn *turn,
                       double *value)
{
    return ngram_share_repeated(turn->reply, turn->reply_count, settings->repetition_n, value);
}

const struct term term_rep_hist = {"rep_hist", rep_hist};
const struct term term_rep_self = {"rep_self", rep_self};
