/* Standard errors of held-out metrics. */
#ifndef REGARD_EVALUATE_EVALUATION_ERROR_H
#define REGARD_EVALUATE_EVALUATION_ERROR_H

#include "src/evaluate/evaluate.h"

/* Of fewer dialogues an error says nothing. */
enum { ERROR_DIALOGUES = 5 };

/* Of metric number m, which is a ratio of sums over dialogues, sum s_d / sum c_d = r: by
 * linearisation, sqrt(n / (n - 1) sum (s_d - r c_d)^2) / sum c_d over the n dialogues that have
 * parts, which are taken as drawn independently; of perplexity that times its value.  NaN: the
 * metric is no such ratio (BLEU), or n is below ERROR_DIALOGUES. */
double evaluation_error(const struct evaluation *evaluation,
                        const struct evaluate_settings *settings, int64_t m);

#endif
