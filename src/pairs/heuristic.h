/* How good a reply is by a rule, from 0 to 1: what pairs are made by (docs/reward.md, Pairs). */
#ifndef REGARD_PAIRS_HEURISTIC_H
#define REGARD_PAIRS_HEURISTIC_H

#include "src/base/choices.h"
#include "src/data/dialogue.h"

const char *pairs_heuristic_name(enum pairs_heuristic heuristic);

/* How much of the data's reply, line->messages[message], a text has.  ngram: mean of ROUGE-1 and
 * ROUGE-2; steps: F1 of the steps before the answer's marker that both have; demonstration:
 * ROUGE-L.  The heuristic verifier is a source's to score. */
double pairs_score(enum pairs_heuristic heuristic, const struct dialogue *line, int64_t message,
                   const char *text, const char *marker);

#endif
