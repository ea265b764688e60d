/* The whole attention of one given reply: every head's weights in the last layers, for whoever
 * wants to look. */
#ifndef REGARD_ROLLOUT_ATTENTION_MAPS_H
#define REGARD_ROLLOUT_ATTENTION_MAPS_H

#include "src/rollout/generate.h"

/* keys: an encoder-decoder's are the history's tokens; a decoder-only model's the history's and
 * then the reply's but the last, of which row i sees those before token i: the others are 0.  A row
 * that a token was drawn by adds up to 1. */
struct attention_maps {
    int64_t layers, heads, rows, keys; /* rows: the reply's tokens */
    int64_t first_layer;               /* the model's, from 0, of the last `layers` */
    float *weight;                     /* [layers, heads, rows, keys]; owned */
};

/* Bytes that the pass has for the maps of such a reply: those of all layers. */
int64_t attention_maps_bytes(const struct generator *generator, int64_t history, int64_t reply);
/* Of the last settings->layers layers, in a pass of its own; the reply has a token at least. */
status attention_maps_read(struct generator *generator, const struct rollout_settings *settings,
                           const struct prompt *prompts, const struct reply_row *row,
                           const struct given_reply *given, struct attention_maps *out);

#endif
