/* How well a fit ranks the replies of dialogues that it was not fitted on: folds by dialogue, the
 * strength from folds within the training folds, beside fits to labels shuffled within histories
 * and to few labelled histories. */
#ifndef REGARD_FIT_VALIDATE_H
#define REGARD_FIT_VALIDATE_H

#include "src/fit/fit.h"

enum { FIT_FOLDS = 5, FIT_CURVE = 4, FIT_NULLS = FIT_LABELS - 1 };
enum { FIT_DIALOGUES_MIN = 2 * FIT_FOLDS };
extern const int64_t fit_curve_sizes[FIT_CURVE]; /* labelled histories: 5, 10, 20, 40 */

struct fit_validation {
    unsigned sets;
    /* Correlations within a used history, length and its square out, of the out-of-fold prediction
     * with the target's ranks; 0 where the prediction is the same for all. */
    double *correlation;      /* [used] */
    double *curve[FIT_CURVE]; /* [used], means over draws of that many labelled histories; NULL:
                               * there are not that many */
    double null[FIT_NULLS];   /* of fits to shuffled labels, mean over histories */
    double *score;            /* [replies->count] out-of-fold fit_score */
    double strength;          /* the folds' middle one */
};

/* fold [dialogues] of each dialogue; STATUS_INPUT where fewer than FIT_DIALOGUES_MIN dialogues have
 * a used history. */
status fit_validate(const struct fit_problem *problem, unsigned sets, int64_t seed, int threads,
                    struct fit_validation *out);
void fit_validation_free(struct fit_validation *validation);
/* On all used histories, with the validation's strength; label: 0, or that of a shuffle.  false: as
 * fit_make. */
bool fit_final(const struct fit_problem *problem, const struct fit_validation *validation,
               int label, struct fit *out);

#endif
