/* What a reply attended to of each user with a name (attention.speakers). */
#ifndef REGARD_ROLLOUT_SPEAKERS_H
#define REGARD_ROLLOUT_SPEAKERS_H

#include "src/rollout/experience.h"

/* Whose words a history's tokens are; arrays [count]. */
struct speaker_history {
    const uint8_t *speaker, *salient, *turn_of; /* speaker: from 1, 0 nobody's */
    int64_t count, visible;                     /* visible: |V| */
};

struct speaker_attention {
    int count;  /* speakers up to the last whose words are in the history; those of earlier ones may
                 * have been cut */
    int asking; /* who said the last turn's words, from 0; -1: nobody with a name */
    /* By speaker: mass on words in V, of that on salient ones, how many of these there are, and of
     * the two the coverage in coverage.form. */
    double mass[SPEAKERS_MAX], salient_mass[SPEAKERS_MAX], salient[SPEAKERS_MAX],
        coverage[SPEAKERS_MAX];
    int coverage_form;
    double visible; /* |V| */
};

/* Means over the reply's tokens, of rows before the floor.  False: nobody has a name, or
 * attention.speakers is off. */
bool speakers_read(const struct statistics *statistics, int coverage_form,
                   const struct speaker_history *history, struct speaker_attention *out);
bool speakers_of_turn(const struct experience_turn *turn, int coverage_form,
                      struct speaker_attention *out);
/* Of the asking user, [0], and of all others together, [1]; false where either is none. */
bool speakers_part(const struct speaker_attention *all, double mass[2], double coverage[2]);

#endif
