/* What sources are opened with.  Made at the edge from the configuration; settings.c alone of this
 * folder knows it. */
#ifndef REGARD_SOURCE_SETTINGS_H
#define REGARD_SOURCE_SETTINGS_H

#include "src/base/status.h"

#include <stdbool.h>
#include <stdint.h>

enum { SOURCE_TEXT_MAX = 1024 };

struct source_reply;

/* A reward model that reads replies: values [count] of them. */
typedef status source_read_function(void *context, const struct source_reply *replies,
                                    int64_t count, double *values);
struct source_model {
    source_read_function *read; /* NULL: there is none */
    void *context;
};

struct source_settings {
    int64_t seed;
    char format[SOURCE_TEXT_MAX];     /* a regular expression */
    char plugin[SOURCE_TEXT_MAX];     /* a path */
    char command[SOURCE_TEXT_MAX];    /* a command line for sh */
    double command_seconds;           /* of a call */
    char fit[SOURCE_TEXT_MAX];        /* a fit.json */
    bool all_heads;                   /* replies have statistics of every layer and head */
    int verify_form;                  /* enum verify_form */
    int verify_extract;               /* enum answer_extract */
    struct source_model reward_model; /* of the source model; whoever opens sources puts it here */
};

struct config;
struct source_settings source_settings_of(const struct config *config);

#endif
