/* A run's first evaluation, which the later ones are held against: of the same dialogues, so that
 * the error of a change is that of paired values. */
#ifndef REGARD_EVALUATE_EVALUATION_FIRST_H
#define REGARD_EVALUATE_EVALUATION_FIRST_H

#include "src/base/file.h"
#include "src/evaluate/evaluate.h"

struct evaluation_first { /* zeros: there is none */
    bool there;
    int64_t step, dialogues;
    char lines[SHA256_HEX];             /* of the dialogues, as evaluation_lines */
    double (*parts)[EVALUATION_MAX][2]; /* [dialogues], as in struct evaluation */
};

/* Of a file that evaluation_write made; no such file is no error. */
status evaluation_first_read(const char *path, const struct evaluate_settings *settings,
                             struct evaluation_first *first);
/* Takes an evaluation's parts for it; lines: its evaluation_lines. */
void evaluation_first_take(struct evaluation_first *first, int64_t step,
                           const struct evaluation *evaluation, const char *lines);
void evaluation_first_free(struct evaluation_first *first);

struct evaluation_change {
    double value, error; /* NaN: there is none */
};
/* Of metric number m since then: of ratios of sums over dialogues r0 = sum s0_d / sum c0_d and r1
 * alike, with u_d = (s1_d - r1 c1_d) / sum c1_d - (s0_d - r0 c0_d) / sum c0_d, the change is
 * r1 - r0 and its standard error, by linearisation, sqrt(n / (n - 1) sum u_d^2) over the n
 * dialogues that have parts in either; of perplexity each half of u_d times its value.  NaN where
 * the metric is no such ratio, or fewer than ERROR_DIALOGUES dialogues have parts in both.  The
 * dialogues are the same. */
struct evaluation_change evaluation_change(const struct evaluation_first *first,
                                           const struct evaluation *now,
                                           const struct evaluate_settings *settings, int64_t m);

#endif
