/* The histories of a probe: the assistant's turns of dialogues, whose replies are to be sampled, or
 * those of labelled replies, which are there. */
#ifndef REGARD_PROBE_ASKED_H
#define REGARD_PROBE_ASKED_H

#include "src/data/labelled.h"
#include "src/probe/settings.h"
#include "src/rollout/generate.h"
#include "src/rollout/language.h"

struct asked {
    struct prompt *prompts, *random; /* [count]; random: with random salience */
    const struct dialogue **line;    /* [count] */
    int64_t *message;  /* [count] of the gold reply in its line; -1: the line has none */
    int64_t *dialogue; /* [count] numbers below `dialogues` */
    int64_t *first;    /* [count + 1] replies to each */
    int64_t count, dialogues;
    int64_t overlong; /* turns left out: their prompt alone exceeds history.max_tokens */
    int64_t left_out; /* labelled histories beyond settings->histories */
    /* Of labelled replies, [first[count]]; NULL: replies are to be sampled. */
    struct given_reply *given; /* tokens owned */
    const struct labelled_reply **labelled;
};

/* labelled: NULL, or what `data` are the histories of; both must outlive `out`. */
status asked_make(const struct probe_settings *settings, const struct language *language,
                  const struct dataset *data, const struct labelled *labelled, struct asked *out);
void asked_free(struct asked *asked);

#endif
