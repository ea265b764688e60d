/* What is read off the captured attention for every token of a reply: a table.  A row of it drives
 * the arrays on the device, a reply's columns, experience messages, samples and metrics.  A new
 * statistic is a row of `statistics_standard`, or of a longer table that a caller passes. */
#ifndef REGARD_CAPTURE_STATISTICS_H
#define REGARD_CAPTURE_STATISTICS_H

#include "kernels/ops.h"
#include "src/model/shape.h"

enum {
    STATISTICS_MAX = 24,      /* rows of a table */
    STATISTICS_TOP = 4,       /* history positions of PER_POSITION */
    STATISTICS_NAME_MAX = 32, /* bytes of a name with its end */
    STATISTICS_TURNS_MAX = 256,
    STATISTICS_SPEAKERS = 8, /* users with names */
    STATISTICS_NO_SPEAKER = 255
};

enum statistic_per {
    PER_TOKEN,    /* one number */
    PER_TURN,     /* one a turn of the history, in order */
    PER_POSITION, /* one each for the STATISTICS_TOP positions of the history that weigh most */
    PER_SPEAKER,  /* two a user with a name, by STATISTICS_SPEAKERS numbers: of words that are not
                   * salient, of those that are */
    PER_HEAD      /* one a layer whose heads are read and head, layer by layer */
};

/* What is stored of a reply. */
enum statistic_reduction {
    EVERY_TOKEN,      /* [tokens, width] */
    MEAN_OVER_TOKENS, /* [1, width], added in float64 in order; 0 without tokens */
    ONCE_A_REPLY      /* [1, width], computed once, at the first token; 0 without tokens */
};

enum statistic_encoding {
    ENCODE_FLOAT, /* 4 bytes, as it is */
    ENCODE_INDEX, /* int32: a position of the history, -1 where there are fewer */
    ENCODE_LOG8   /* one byte: code c stands for 2^(-(255 - c) / 16), 0 for 0 */
};

struct statistic_sizes {
    int64_t turns, layers, heads; /* layers: those whose heads are read */
};

/* out [entries, width], zero before: writes what belongs to each row's token.  rows: the call of
 * attention_summary that was made, with its outputs. */
typedef void statistic_function(struct queue *q, const struct attention_summary *rows,
                                const struct statistic_sizes *sizes, void *out);

struct statistic {
    const char *name; /* snake_case, shorter than STATISTICS_NAME_MAX */
    enum statistic_per per;
    enum statistic_reduction reduction;
    enum statistic_encoding encoding;
    /* The name of its mean over a reply's tokens and all replies in metrics; with PER_TURN a metric
     * for each turn back, NAME_0 of the current turn; with PER_HEAD NAME_LAYER_HEAD.  NULL: none.
     */
    const char *metric;
    /* How it is computed: by a call of its own, or where NULL by the one call of
     * attention_summary, which writes it to the pointer at `output` of its arguments; of_heads:
     * while attention is computed, at `output` of struct head_statistics. */
    statistic_function *compute;
    size_t output;
    bool of_heads;
};

struct statistic_table {
    const struct statistic *rows;
    int count;
};

/* Rows that others ask for by their place: every table begins with the standard ones. */
enum {
    STATISTIC_ENTROPY,         /* of the head-averaged row, nats, before the floor */
    STATISTIC_ENTROPY_FLOORED, /* as focus takes it */
    STATISTIC_SALIENT_MASS,    /* as coverage takes it */
    STATISTIC_SPECIAL_MASS,    /* what attention.exclude_special removed; of a causal model the
                                * special tokens' raw mass, position 0 left out */
    STATISTIC_TURN_MASS,
    STATISTIC_TOP_POSITION,
    STATISTIC_TOP_WEIGHT,
    STATISTICS_STANDARD,
    /* Of causal models, raw masses that add to 1 with that of the special tokens. */
    STATISTIC_FIRST_MASS = STATISTICS_STANDARD, /* position 0 */
    STATISTIC_HISTORY_MASS,                     /* the history's other tokens */
    STATISTIC_REPLY_MASS,                       /* the reply's own tokens so far */
    STATISTICS_CAUSAL
};
extern const struct statistic_table statistics_standard;
/* The table of a model's family, and behind it what is asked for by name: those of every layer and
 * head (docs/reward.md); of an encoder-decoder the mass on a summary's slots. */
enum { STATISTICS_OF_HEADS = 1, STATISTICS_OF_SUMMARY = 2, STATISTICS_OF_SPEAKERS = 4 };
const struct statistic_table *statistics_of(const struct model_shape *shape, int also);
/* The place of a row by its name; -1: there is none. */
int statistics_find(const struct statistic_table *table, const char *name);
bool statistics_have_heads(const struct statistic_table *table);
/* PER_HEAD is of the captured layers, or of all where every layer's heads are read. */
struct statistic_sizes statistics_sizes(const struct statistic_table *table,
                                        const struct model_shape *shape, int64_t captured_layers,
                                        int64_t turns);

int64_t statistic_width(const struct statistic *row, const struct statistic_sizes *sizes);
/* Bytes a number takes in a message. */
size_t statistic_number_bytes(const struct statistic *row);
uint8_t statistic_log8(float weight);
float statistic_from_log8(uint8_t code);

/* The statistics of one reply's tokens. */
struct statistics {
    const struct statistic_table *table;
    struct statistic_sizes sizes;
    int64_t tokens;
    /* By the table's rows; 4 bytes a number: int32 for ENCODE_INDEX, else float. */
    void *array[STATISTICS_MAX];
};
/* Zeroed arrays; positions are -1. */
void statistics_allocate(struct statistics *statistics, const struct statistic_table *table,
                         const struct statistic_sizes *sizes, int64_t tokens);
void statistics_free(struct statistics *statistics);
/* The same arrays of other memory; weights as a message brings them, rounded to a byte.  What `to`
 * held is freed. */
void statistics_copy_rounded(struct statistics *to, const struct statistics *from);
/* Numbers of a row's array. */
int64_t statistics_numbers(const struct statistics *statistics, int row);
const float *statistics_floats(const struct statistics *statistics, int row);
const int32_t *statistics_indices(const struct statistics *statistics, int row);

/* Columns of the metrics: for rows with a metric one a number of their width; PER_TURN: one a turn
 * of `sizes`, by turns back. */
int64_t statistics_columns(const struct statistic_table *table,
                           const struct statistic_sizes *sizes);
/* name [64] of a column. */
void statistics_column_name(const struct statistic_table *table,
                            const struct statistic_sizes *sizes, int64_t column, char name[64]);
/* A reply's value of each column, the mean over its tokens (0 without tokens); NaN where it does
 * not apply: turns that the history does not have. */
void statistics_means(const struct statistics *statistics, const struct statistic_sizes *sizes,
                      double *value);

#endif
