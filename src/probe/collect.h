/* Replies to the histories of a data set, with what every source, form and control of the reward,
 * every metric and every column of a fit says of them. */
#ifndef REGARD_PROBE_COLLECT_H
#define REGARD_PROBE_COLLECT_H

#include "src/data/labelled.h"
#include "src/fit/problem.h"
#include "src/probe/figures.h"
#include "src/probe/settings.h"
#include "src/rollout/generate.h"
#include "src/rollout/language.h"
#include "src/source/source.h"

enum probe_role {
    PROBE_SOURCE,  /* what reward.sources may list, and the terms of `attention` */
    PROBE_FORM,    /* another form of a term */
    PROBE_CONTROL, /* what should teach nothing */
    PROBE_FITTED   /* an out-of-fold fit */
};

/* A number a reply. */
struct probe_column {
    char name[64];
    enum probe_role role;
    bool label_free;
    double *value; /* [replies], owned */
};

enum { PROBE_COLUMNS_MAX = 64, PROBE_METRICS_MAX = 8 };

struct probe_data {
    struct fit_replies replies; /* with the columns of fits */
    int64_t dialogues;
    struct probe_column column[PROBE_COLUMNS_MAX];
    int64_t column_count;
    struct probe_column metric[PROBE_METRICS_MAX]; /* NaN: the history has no such */
    int64_t metric_count;
    char **question, **kind; /* [histories], [replies]: kinds; NULL: not asked for */
    double distinct;         /* different replies of a history, mean */
    double reply_length, end_rate;
    int64_t overlong; /* turns left out: their prompt alone exceeds history.max_tokens */
    int64_t left_out; /* labelled histories beyond probe.histories */
    bool labelled;    /* the replies were there: the only metric is their label */
};

/* labelled: NULL, or what `data` are the histories of: then its replies are read, as score reads
 * them, and none is sampled.  sources: those of settings->sampling.reward. */
status probe_collect(struct generator *generator, const struct probe_settings *settings,
                     const struct language *language, const struct dataset *data,
                     const struct labelled *labelled, struct source_set *sources,
                     struct probe_data *out);
void probe_data_free(struct probe_data *data);
struct probe_replies probe_replies_of(const struct probe_data *data);
/* A new column of zeros. */
double *probe_column_add(struct probe_data *data, const char *name, enum probe_role role,
                         bool label_free);
/* NULL: there is none. */
const struct probe_column *probe_column_find(const struct probe_data *data, const char *name);
const struct probe_column *probe_metric_find(const struct probe_data *data, const char *name);

#endif
