/* Errors of figures by drawing dialogues anew. */
#ifndef REGARD_PROBE_BOOTSTRAP_H
#define REGARD_PROBE_BOOTSTRAP_H

#include <stdint.h>

/* How often each dialogue is drawn in each resample: the same for all figures of a probe, so that
 * differences are paired. */
struct bootstrap {
    int64_t dialogues, resamples;
    uint16_t *drawn; /* [resamples, dialogues] */
};
void bootstrap_create(struct bootstrap *bootstrap, int64_t dialogues, int64_t seed);
void bootstrap_free(struct bootstrap *bootstrap);

/* Dialogues below which a figure has no error worth its name: of one it is 0. */
enum { BOOTSTRAP_DIALOGUES = 5 };

/* A figure with its standard error; NaN: there is none. */
struct figure {
    double value, error;
};
/* Of sums [dialogues, parts] over a dialogue's replies or histories the figure `of` makes of their
 * totals. */
struct figure bootstrap_figure(const struct bootstrap *bootstrap, const double *sums, int64_t parts,
                               double (*of)(const double *total));
/* total[0] / total[1]: a mean, where the sums are values and their number. */
double figure_ratio(const double *total);

#endif
