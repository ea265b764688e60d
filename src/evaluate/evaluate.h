/* A model on a held-out set: the metrics (table.h) of `regard eval` and of training. */
#ifndef REGARD_EVALUATE_EVALUATE_H
#define REGARD_EVALUATE_EVALUATE_H

#include "src/evaluate/on_topic.h"
#include "src/evaluate/table.h"
#include "src/evaluate/text_encoder.h"
#include "src/rollout/generate.h"
#include "src/rollout/language.h"
#include "src/source/source.h"

#include <stdio.h>

/* What an evaluation is made by; the caller's. */
struct evaluators {
    struct generator *generator;  /* of the model that is measured */
    struct source_set *sources;   /* of the given terms; NULL: there are none */
    struct text_encoder *encoder; /* these two where the settings ask for them */
    struct on_topic *on_topic;
};

struct evaluation {
    double value[EVALUATION_MAX]; /* [evaluation_count] NaN: does not apply */
    /* [dialogues] of a metric that is a mean: the dialogue's sum and how many it is of (of
     * perplexity: log-probabilities and tokens); 0 of 0 where there is none.  Freed by the caller.
     */
    double (*parts)[EVALUATION_MAX][2];
    int64_t dialogues;
    int64_t replies;
    int64_t overlong;      /* turns left out: their prompt alone exceeds history.max_tokens */
    int64_t overlong_line; /* of the first of them */
    bool stopped;          /* on request, before it was done: the rest holds nothing */
    int64_t max_tokens;    /* history.max_tokens */
    double seconds;      /* that generating the replies took; with eval.history: own not measured */
    double reasoning_ms; /* of these a sampled token; NaN: there is none */
};

/* One reply to every assistant turn's own (gold) history of the first `dialogues` dialogues (0:
 * all), at eval.temperature.  samples: NULL, or there goes a record a reply (sample.h). An overlong
 * prompt is no error: its turn is left out and counted.  stop: NULL, or asked between batches (of
 * infer.batch replies) whether to leave off. */
status evaluate(const struct evaluators *by, const struct evaluate_settings *settings,
                const struct language *language, const struct dataset *data, int64_t dialogues,
                FILE *samples, bool (*stop)(void), struct evaluation *out);
void evaluation_free(struct evaluation *evaluation);
/* A metric of the sum and the count of its parts; NaN of no parts. */
double evaluation_of_parts(const char *metric, double sum, double count);

/* One warning where turns were left out. */
void evaluation_warn(const struct evaluation *evaluation, const struct dataset *data);

#endif
