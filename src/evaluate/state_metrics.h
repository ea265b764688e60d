/* Metrics of replies by token states of an encoder: BERTScore with the data's replies, and how much
 * a reply has to do with its prompt; each beside what replies to others would have. */
#ifndef REGARD_EVALUATE_STATE_METRICS_H
#define REGARD_EVALUATE_STATE_METRICS_H

#include "src/evaluate/text_encoder.h"

#include <stdbool.h>

/* A turn: what the user said last, the model's reply, the data's; and a turn of another dialogue
 * (others.h), -1: there is none, and what is of it is NaN. */
struct state_turn {
    const char *prompt, *reply, *gold;
    int64_t other;
};

struct state_scores {
    struct bert_score score; /* of the reply with the gold reply */
    double score_other;      /* F1 of the other turn's gold reply with this one's */
    /* Cosines of mean states: of the prompt with the reply, with the other turn's reply, with the
     * gold reply. */
    double relevance, relevance_other, relevance_gold;
};

/* scores [count].  batch: turns that are encoded at once, on which no number depends.  stop: NULL,
 * or asked between batches whether to leave off: then *stopped. */
status state_metrics(struct text_encoder *encoder, const struct state_turn *turns, int64_t count,
                     int64_t batch, bool (*stop)(void), bool *stopped, struct state_scores *scores);

#endif
