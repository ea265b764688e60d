/* Which of the replies to one history make a pair, by their scores. */
#ifndef REGARD_PAIRS_SELECT_H
#define REGARD_PAIRS_SELECT_H

#include <stdint.h>

/* Indices of replies; PAIR_GOLD: the data's own. */
enum { PAIR_GOLD = -1 };
struct pair {
    int64_t chosen, rejected;
};

/* Pairs of two replies whose scores differ by more than margin >= 0, those that differ most first,
 * of equals those of earlier replies; at most `most`, into out.  Replies that are blank or the text
 * of an earlier one take no part.  Returns how many. */
int64_t pairs_of_scores(char *const *texts, const double *scores, int64_t count, double margin,
                        int64_t most, struct pair *out);
/* Pairs of the data's reply over one of these, in their order, but for those that are blank, the
 * text of an earlier one or within the margin of the data's: 1 - likeness is no more than it. */
int64_t pairs_of_gold(char *const *texts, const double *likeness, int64_t count, double margin,
                      int64_t most, struct pair *out);

#endif
