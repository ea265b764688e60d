#include "src/pairs/heuristic.h"

#include "src/evaluate/reasoning_metrics.h"
#include "src/text/text_metrics.h"

static const char *const names[] = {"ngram", "steps", "verifier", "demonstration"};

const char *pairs_heuristic_name(enum pairs_heuristic heuristic)
{
    return names[heuristic];
}

static double steps_score(const struct dialogue *line, int64_t message, const char *text,
                          const char *marker)
{
    struct reasoning_sums sums = {0};
    reasoning_add(&sums, line, message, line->messages[message].content, text, marker);
    const int64_t both = sums.steps + sums.gold_steps;
    return both ? 2 * (double)sums.matching / (double)both : 0;
}

double pairs_score(enum pairs_heuristic heuristic, const struct dialogue *line, int64_t message,
                   const char *text, const char *marker)
{
    const char *gold = line->messages[message].content;
    if (heuristic == PAIRS_STEPS) return steps_score(line, message, text, marker);
    if (heuristic == PAIRS_DEMONSTRATION) return text_rouge_l(text, gold);
    return (text_rouge_n(text, gold, 1) + text_rouge_n(text, gold, 2)) / 2;
}
