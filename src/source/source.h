/* Who gives reward.  A source says a number of every reply; that is a given term of the reward
 * (src/reward/term.h), so weights, scaling, statistics, messages, metrics and samples follow by
 * themselves.  `attention` is no struct source: its terms are computed in src/reward. */
#ifndef REGARD_SOURCE_SOURCE_H
#define REGARD_SOURCE_SOURCE_H

#include "src/capture/statistics.h"
#include "src/data/dialogue.h"
#include "src/reward/settings.h"
#include "src/source/settings.h"

/* What a source sees of one reply; all borrowed. */
struct source_reply {
    struct turn_key key;         /* dialogue, turn from 1, candidate; span 0 */
    const struct dialogue *line; /* the data line */
    int64_t message;             /* in line->messages, of the gold reply to this turn; -1: none */
    const struct message *messages; /* [message_count] the history as text, generated replies too */
    int64_t message_count;          /* 0 of a token line */
    const char *text;               /* the reply, special tokens left out; with SOURCE_NEEDS_TEXT */
    const int32_t *tokens;          /* [count] the end token included where it was sampled */
    int64_t count;
    bool ended;
    const int32_t *history; /* [history_count] */
    const uint8_t *visible; /* [history_count] 1: in V */
    int64_t history_count;
    /* [count] each, of the model that `scorer` names (live: the one that samples), at the
     * temperature of sampling, 1 where that is greedy. */
    const float *logp, *token_entropy;
    const float *self_certainty; /* NULL: rollout_settings.self_certainty did not ask for it */
    const struct statistics *statistics; /* of its attention */
    const char *const *token_text;       /* [count] of each token; with SOURCE_NEEDS_TOKEN_TEXT */
};

/* Rewards of parts of replies.  Those of one reply are added one behind another, in order, and
 * cover its tokens from the first to the last; its value is then their sum, whatever values[] says.
 */
struct source_span {
    int64_t reply;      /* index among the replies */
    int32_t begin, end; /* tokens of it */
    double value;
};
struct source_spans {
    struct source_span *list;
    int64_t count, capacity;
};
void source_spans_add(struct source_spans *spans, struct source_span span);

enum source_need {
    SOURCE_NEEDS_TEXT = 1,      /* source_reply.text */
    SOURCE_NEEDS_TOKEN_TEXT = 2 /* source_reply.token_text */
};

struct source {
    const char *name; /* its column's */
    unsigned needs;   /* of enum source_need */
    /* NULL: there is no state. */
    status (*open)(const struct source_settings *settings, void **state);
    /* Whether replies to a data line can be judged, else one line that says why; NULL: all can. */
    status (*check)(void *state, const struct dialogue *line);
    /* values [count], zeroed before.  The replies to one history lie together, by candidate.  A
     * value must depend on its dialogue's replies alone, so that ranks and batches change nothing.
     */
    status (*compute)(void *state, const struct source_reply *replies, int64_t count,
                      double *values, struct source_spans *spans);
    void (*close)(void *state);
};

/* The sources of a run that have given terms, opened. */
struct source_set;
/* One a given term of `reward`, whose columns they fill. */
status sources_open(const struct source_settings *settings, const struct reward_settings *reward,
                    struct source_set **out);
void sources_close(struct source_set *set);
/* How many there are, and what they need; 0 of NULL. */
int64_t sources_count(const struct source_set *set);
unsigned sources_needs(const struct source_set *set);
/* Refuses data with a line that a source cannot judge replies to, naming file and line. */
status sources_check(const struct source_set *set, const struct dataset *data);
/* A reply that sources cut, into spans that cover it: each with the given terms' values, which add
 * up to the reply's.  A source that does not cut it has its value in the last one. */
struct given_span {
    int32_t begin, end;
    double terms[TERM_MAX];
};
struct given_spans {
    struct given_span *list; /* [count], to be freed; NULL: the reply is not cut */
    int32_t count;
    const char *by; /* the source that cut it */
};
/* What one source says of replies, into column `column` of their terms.  cuts [count], zeroed
 * before the first source; NULL: spans are added up and forgotten. */
status source_ask(const struct source *source, void *state, int64_t column,
                  const struct source_reply *replies, int64_t count, double (*terms)[TERM_MAX],
                  struct given_spans *cuts);
/* terms [count][TERM_MAX]: the given ones are written; cuts: as above, by sources of a weight that
 * is not 0 alone.  A value that is not finite,
 * spans that do not cover a reply, and two sources that cut one differently are an error that names
 * source, dialogue, turn and candidate. */
status sources_compute(struct source_set *set, const struct source_reply *replies, int64_t count,
                       double (*terms)[TERM_MAX], struct given_spans *cuts);
/* Adds to each given term the milliseconds that its source took since the last call. */
void sources_take_milliseconds(struct source_set *set, double milliseconds[TERM_MAX]);

#endif
