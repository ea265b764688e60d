/* What figures mean for a run of reinforcement, in plain words. */
#ifndef REGARD_PROBE_VERDICT_H
#define REGARD_PROBE_VERDICT_H

#include "src/probe/figures.h"

enum verdict {
    VERDICT_ITSELF,  /* orders replies as the metric does, all of them; no control does */
    VERDICT_TEACHES, /* ranks replies beyond their length, and picks better ones */
    VERDICT_HINT,    /* the same, less surely */
    VERDICT_LENGTH,  /* what it knows is length */
    VERDICT_SAME,    /* hardly differs between the replies of a history */
    VERDICT_NOTHING, /* nothing is seen */
    VERDICT_AGAINST, /* ranks better replies lower */
    VERDICT_FEW,     /* too few dialogues have replies that differ in the metric */
    VERDICT_UNKNOWN  /* a figure has no error: all dialogues gave the same, or none did */
};
/* Dialogues with distinct outcomes below which nothing is said: an error over fewer is chance. */
enum { VERDICT_DIALOGUES = BOOTSTRAP_DIALOGUES };
/* Pairs of replies that must all be in order for VERDICT_ITSELF, which has no error to go by.  The
 * likeliest by chance are 5 histories with one right reply of 7, 6 pairs each: 1/7^5 = 6e-5. */
enum { VERDICT_PAIRS = 30 };
extern const char *const verdict_names[]; /* "teaches", ... */

enum verdict verdict_of(const struct source_figures *source, const struct pair_figures *pair,
                        bool control);
/* The settings under which what a source tells within histories counts: of reward.scale and
 * advantage. */
const char *verdict_scale(const struct source_figures *source);

#endif
