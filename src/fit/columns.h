/* The columns of a reply that a reward can be fitted on, in four sets. */
#ifndef REGARD_FIT_COLUMNS_H
#define REGARD_FIT_COLUMNS_H

#include "src/capture/statistics.h"
#include "src/data/dialogue.h"

enum fit_set {
    FIT_ATTENTION, /* the mean over the reply of every statistic of every layer and head */
    FIT_LOGPROB,   /* log-probability of the tokens: mean, least, deviation; mean entropy */
    FIT_OVERLAP,   /* ten numbers of plain text */
    FIT_WORDS,     /* hashed words and pairs, as they are and by their place in the history */
    FIT_SETS
};
const char *fit_set_name(int set);
/* "attention,words" as bits; "all": every set.  where begins the error's line. */
status fit_sets_parse(const char *text, const char *where, unsigned *sets);
void fit_sets_text(unsigned sets, char text[64]);

enum { LOGPROB_COLUMNS = 4, OVERLAP_COLUMNS = 10, WORD_BUCKETS = 1 << 16 };

/* What the dense columns are: attention's first, statistic by statistic, layer by layer, head by
 * head, then logprob and overlap. */
struct fit_layout {
    char statistic[STATISTICS_MAX][STATISTICS_NAME_MAX]; /* [statistic_count] names */
    int statistic_count;
    int64_t layers, heads;
};
/* All rows PER_HEAD of a table. */
struct fit_layout fit_layout_of(const struct statistic_table *table,
                                const struct statistic_sizes *sizes);
/* The dense columns [begin, end) of a set; none of words.  All of them together. */
void fit_layout_columns(const struct fit_layout *layout, int set, int64_t *begin, int64_t *end);
int64_t fit_layout_width(const struct fit_layout *layout);
/* "entropy_LAYER_HEAD", "logprob_least", ...: of a dense column. */
void fit_layout_name(const struct fit_layout *layout, int64_t column, char name[64]);

/* The words of a reply: buckets that hold one or more of them, ascending. */
struct word_bag {
    int32_t *bucket; /* [count], owned */
    int64_t count;
};

/* A reply and what it answers; all borrowed. */
struct fit_reply {
    const struct message *messages; /* [message_count], the last one is the prompt */
    int64_t message_count;
    const char *text;
    const float *logp, *token_entropy; /* [count] */
    int64_t count;
    const struct statistics *statistics;
};

/* dense [fit_layout_width]; bag is allocated, word_bag_free frees it.  STATUS_INPUT where the
 * statistics lack one of the layout's or are of other layers or heads. */
status fit_columns(const struct fit_layout *layout, const struct fit_reply *reply, double *dense,
                   struct word_bag *bag);
void word_bag_free(struct word_bag *bag);

/* The parts of fit_columns that read text (overlap.c, bag.c). */
void overlap_columns(const struct fit_reply *reply, double out[OVERLAP_COLUMNS]);
void bag_columns(const struct fit_reply *reply, struct word_bag *bag);

#endif
