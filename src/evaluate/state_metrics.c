/* See state_metrics.h.  Token states are held of one batch's texts, mean states of all. */
#include "src/evaluate/state_metrics.h"

#include "src/base/memory.h"

#include <math.h>
#include <stdlib.h>

enum { TEXT_PROMPT, TEXT_REPLY, TEXT_GOLD, TEXT_OTHER, TEXTS }; /* of a turn, in this order */
enum { MEANS = TEXT_GOLD + 1 };                                 /* of which means are kept */

/* One batch: means [count, MEANS, width]. */
static status batch_measure(struct text_encoder *encoder, const struct state_turn *turns,
                            int64_t first, int64_t last, struct state_scores *scores, double *means)
{
    const int64_t width = text_encoder_width(encoder);
    const size_t texts = (size_t)((last - first) * TEXTS);
    const char **text = memory_allocate(texts * sizeof *text), **at = text;
    struct token_states *states = memory_allocate(texts * sizeof *states);
    for (int64_t i = first; i < last; i++) {
        *at++ = turns[i].prompt;
        *at++ = turns[i].reply;
        *at++ = turns[i].gold;
        *at++ = turns[i].other < 0 ? "" : turns[turns[i].other].gold;
    }
    status s = text_encoder_read(encoder, text, (int64_t)texts, states);
    for (int64_t i = first; !s && i < last; i++) {
        const struct token_states *own = states + (i - first) * TEXTS;
        scores[i].score = bert_score_of(&own[TEXT_REPLY], &own[TEXT_GOLD], width);
        scores[i].score_other = (double)NAN;
        if (turns[i].other >= 0)
            scores[i].score_other = bert_score_of(&own[TEXT_OTHER], &own[TEXT_GOLD], width).f1;
        for (int64_t k = 0; k < MEANS; k++)
            token_states_mean(&own[k], width, means + (i * MEANS + k) * width);
    }
    free(text);
    free(states);
    return s;
}

static void relevance_measure(const struct state_turn *turns, const double *means, int64_t width,
                              int64_t count, struct state_scores *scores)
{
    for (int64_t i = 0; i < count; i++) {
        struct state_scores *one = &scores[i];
        const double *own = means + i * MEANS * width, *prompt = own + TEXT_PROMPT * width;
        one->relevance = vectors_cosine(prompt, own + TEXT_REPLY * width, width);
        one->relevance_gold = vectors_cosine(prompt, own + TEXT_GOLD * width, width);
        one->relevance_other = (double)NAN;
        if (turns[i].other >= 0)
            one->relevance_other = vectors_cosine(
                prompt, means + (turns[i].other * MEANS + TEXT_REPLY) * width, width);
    }
}

status state_metrics(struct text_encoder *encoder, const struct state_turn *turns, int64_t count,
                     int64_t batch, bool (*stop)(void), bool *stopped, struct state_scores *scores)
{
    const int64_t width = text_encoder_width(encoder);
    double *means = memory_allocate((size_t)(count * MEANS * width) * sizeof *means);
    status s = NULL;
    for (int64_t first = 0; !s && first < count && !*stopped; first += batch) {
        const int64_t last = count - first < batch ? count : first + batch;
        if (stop && stop())
            *stopped = true;
        else
            s = batch_measure(encoder, turns, first, last, scores, means);
    }
    if (!s && !*stopped) relevance_measure(turns, means, width, count, scores);
    free(means);
    return s;
}
