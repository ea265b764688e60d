/* See evaluation_error.h. */
#include "src/evaluate/evaluation_error.h"

#include <math.h>

double evaluation_error(const struct evaluation *evaluation,
                        const struct evaluate_settings *settings, int64_t m)
{
    double sum = 0, count = 0, squares = 0;
    int64_t dialogues = 0;
    for (int64_t d = 0; d < evaluation->dialogues; d++) {
        const double *part = evaluation->parts[d][m];
        sum += part[0];
        count += part[1];
        dialogues += part[1] > 0;
    }
    if (dialogues < ERROR_DIALOGUES) return NAN;
    for (int64_t d = 0; d < evaluation->dialogues; d++) {
        const double *part = evaluation->parts[d][m];
        const double apart = part[1] > 0 ? part[0] - sum / count * part[1] : 0;
        squares += apart * apart;
    }
    const double n = (double)dialogues, error = sqrt(n / (n - 1) * squares) / count;
    return evaluation_is_perplexity(evaluation_name(settings, m)) ? error * evaluation->value[m]
                                                                  : error;
}
