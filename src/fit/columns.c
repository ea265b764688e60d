/* The sets and their columns; see columns.h. */
#include "src/fit/columns.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const set_names[FIT_SETS] = {"attention", "logprob", "overlap", "words"};
static const char *const logprob_names[LOGPROB_COLUMNS] = {"mean", "least", "deviation", "entropy"};
static const char *const overlap_names[OVERLAP_COLUMNS] = {
    "in_history",     "in_prompt",      "in_last_reply", "pairs_in_history", "pairs_in_prompt",
    "words_repeated", "pairs_repeated", "words",         "characters",       "question_marks"};

const char *fit_set_name(int set)
{
    return set_names[set];
}

status fit_sets_parse(const char *text, const char *where, unsigned *sets)
{
    *sets = 0;
    if (!strcmp(text, "all")) {
        *sets = (1u << FIT_SETS) - 1;
        return NULL;
    }
    for (const char *at = text; *at;) {
        const size_t size = strcspn(at, ",");
        int set = 0;
        while (set < FIT_SETS &&
               (strlen(set_names[set]) != size || strncmp(at, set_names[set], size) != 0))
            set++;
        if (set == FIT_SETS)
            FAIL(STATUS_INPUT,
                 "%s: \"%.*s\" is no set of columns; there are attention, logprob, overlap, words "
                 "and all",
                 where, (int)size, at);
        *sets |= 1u << set;
        at += size;
        if (*at) at++;
    }
    if (!*sets) FAIL(STATUS_INPUT, "%s: no set of columns", where);
    return NULL;
}

void fit_sets_text(unsigned sets, char text[64])
{
    text[0] = 0;
    for (int set = 0; set < FIT_SETS; set++)
        if (sets >> set & 1) {
            if (text[0]) strcat(text, ",");
            strcat(text, set_names[set]);
        }
}

struct fit_layout fit_layout_of(const struct statistic_table *table,
                                const struct statistic_sizes *sizes)
{
    struct fit_layout layout = {.layers = sizes->layers, .heads = sizes->heads};
    for (int i = 0; i < table->count; i++)
        if (table->rows[i].per == PER_HEAD)
            snprintf(layout.statistic[layout.statistic_count++], STATISTICS_NAME_MAX, "%s",
                     table->rows[i].name);
    return layout;
}

static int64_t attention_width(const struct fit_layout *layout)
{
    return layout->statistic_count * layout->layers * layout->heads;
}

void fit_layout_columns(const struct fit_layout *layout, int set, int64_t *begin, int64_t *end)
{
    const int64_t width[FIT_SETS] = {attention_width(layout), LOGPROB_COLUMNS, OVERLAP_COLUMNS, 0};
    *begin = 0;
    for (int s = 0; s < set; s++) *begin += width[s];
    *end = *begin + width[set];
}

int64_t fit_layout_width(const struct fit_layout *layout)
{
    return attention_width(layout) + LOGPROB_COLUMNS + OVERLAP_COLUMNS;
}

void fit_layout_name(const struct fit_layout *layout, int64_t column, char name[64])
{
    const int64_t attention = attention_width(layout), heads = layout->layers * layout->heads;
    if (column < attention)
        snprintf(name, 64, "%s_%lld_%lld", layout->statistic[column / heads],
                 (long long)(column % heads / layout->heads), (long long)(column % layout->heads));
    else if (column < attention + LOGPROB_COLUMNS)
        snprintf(name, 64, "logprob_%s", logprob_names[column - attention]);
    else
        snprintf(name, 64, "overlap_%s", overlap_names[column - attention - LOGPROB_COLUMNS]);
}

/* Means over what is stored of the tokens, in order. */
static status attention_columns(const struct fit_layout *layout,
                                const struct statistics *statistics, double *out)
{
    const int64_t heads = layout->layers * layout->heads;
    for (int s = 0; s < layout->statistic_count; s++) {
        int row = 0;
        while (row < statistics->table->count &&
               (statistics->table->rows[row].per != PER_HEAD ||
                strcmp(statistics->table->rows[row].name, layout->statistic[s]) != 0))
            row++;
        if (row == statistics->table->count || statistics->sizes.layers != layout->layers ||
            statistics->sizes.heads != layout->heads)
            FAIL(STATUS_INPUT,
                 "the columns are of %s of %lld layers x %lld heads, which is not what is read "
                 "here (%lld x %lld): another model, or attention.all_heads is off",
                 layout->statistic[s], (long long)layout->layers, (long long)layout->heads,
                 (long long)statistics->sizes.layers, (long long)statistics->sizes.heads);
        const float *values = statistics_floats(statistics, row);
        const int64_t tokens = statistics_numbers(statistics, row) / heads;
        for (int64_t h = 0; h < heads; h++) {
            double sum = 0;
            for (int64_t t = 0; t < tokens; t++) sum += (double)values[t * heads + h];
            out[s * heads + h] = tokens ? sum / (double)tokens : 0;
        }
    }
    return NULL;
}

static void logprob_columns(const struct fit_reply *reply, double out[LOGPROB_COLUMNS])
{
    const double n = reply->count ? (double)reply->count : 1;
    double sum = 0, least = 0, square = 0, entropy = 0;
    for (int64_t t = 0; t < reply->count; t++) {
        sum += (double)reply->logp[t];
        least = fmin(least, (double)reply->logp[t]);
        entropy += (double)reply->token_entropy[t];
    }
    for (int64_t t = 0; t < reply->count; t++) {
        const double off = (double)reply->logp[t] - sum / n;
        square += off * off;
    }
    out[0] = sum / n;
    out[1] = least;
    out[2] = sqrt(square / n);
    out[3] = entropy / n;
}

status fit_columns(const struct fit_layout *layout, const struct fit_reply *reply, double *dense,
                   struct word_bag *bag)
{
    TRY(attention_columns(layout, reply->statistics, dense));
    logprob_columns(reply, dense + attention_width(layout));
    overlap_columns(reply, dense + attention_width(layout) + LOGPROB_COLUMNS);
    bag_columns(reply, bag);
    return NULL;
}

void word_bag_free(struct word_bag *bag)
{
    free(bag->bucket);
    *bag = (struct word_bag){0};
}
