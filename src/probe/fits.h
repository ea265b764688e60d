/* Fits of a probe's replies: every set of columns alone, all together, and all but each. */
#ifndef REGARD_PROBE_FITS_H
#define REGARD_PROBE_FITS_H

#include "src/fit/fit_file.h"
#include "src/fit/validate.h"
#include "src/probe/collect.h"

enum { PROBE_FITS_MAX = 2 * FIT_SETS + 2 };

struct probe_fits {
    struct fit_problem problem;
    int64_t *dialogue; /* [used] of a used history */
    struct fit_validation list[PROBE_FITS_MAX];
    int count;
    unsigned there; /* sets that have columns which vary within histories */
    int written;    /* in list: what fit.json is */
    struct fit fit;
};

/* Validates the fits to a metric and adds their out-of-fold scores to the data as columns "fitted
 * SETS" (PROBE_FITTED); then makes the fit that settings->sets asks for. */
status probe_fits_make(struct probe_data *data, const struct probe_column *target,
                       const struct probe_settings *settings, struct probe_fits *out);
void probe_fits_free(struct probe_fits *fits);
/* The validation of these sets; NULL: there is none. */
const struct fit_validation *probe_fits_find(const struct probe_fits *fits, unsigned sets);

#endif
