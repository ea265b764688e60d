/* The table of statistics; see statistics.h. */
#include "src/capture/statistics.h"

#include "src/base/memory.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SUMMARY(member) .output = offsetof(struct attention_summary, member)

#define STANDARD_ROWS(special_metric)                                                              \
    [STATISTIC_ENTROPY] = {.name = "attention_entropy",                                            \
                           .per = PER_TOKEN,                                                       \
                           .metric = "attention_entropy",                                          \
                           SUMMARY(entropy)},                                                      \
    [STATISTIC_ENTROPY_FLOORED] = {.name = "attention_entropy_floored",                            \
                                   .per = PER_TOKEN,                                               \
                                   .metric = "attention_entropy_floored",                          \
                                   SUMMARY(entropy_floored)},                                      \
    [STATISTIC_SALIENT_MASS] = {.name = "salient_mass", .per = PER_TOKEN, SUMMARY(salient_mass)},  \
    [STATISTIC_SPECIAL_MASS] = {.name = "special_mass",                                            \
                                .per = PER_TOKEN,                                                  \
                                .metric = special_metric,                                          \
                                SUMMARY(special_mass)},                                            \
    [STATISTIC_TURN_MASS] = {.name = "turn_mass",                                                  \
                             .per = PER_TURN,                                                      \
                             .metric = "mass_turn_back",                                           \
                             SUMMARY(turn_mass)},                                                  \
    [STATISTIC_TOP_POSITION] = {.name = "top_position",                                            \
                                .per = PER_POSITION,                                               \
                                .encoding = ENCODE_INDEX,                                          \
                                SUMMARY(top_position)},                                            \
    [STATISTIC_TOP_WEIGHT] = {                                                                     \
        .name = "top_weight", .per = PER_POSITION, .encoding = ENCODE_LOG8, SUMMARY(top_weight)}

#define CAUSAL_ROWS                                                                                \
    STANDARD_ROWS("special_mass"),                                                                 \
        [STATISTIC_FIRST_MASS] = {.name = "first_mass",                                            \
                                  .per = PER_TOKEN,                                                \
                                  .metric = "first_mass",                                          \
                                  SUMMARY(first_mass)},                                            \
        [STATISTIC_HISTORY_MASS] = {.name = "history_mass",                                        \
                                    .per = PER_TOKEN,                                              \
                                    .metric = "history_mass",                                      \
                                    SUMMARY(history_mass)},                                        \
        [STATISTIC_REPLY_MASS] = {                                                                 \
            .name = "reply_mass", .per = PER_TOKEN, .metric = "reply_mass", SUMMARY(reply_mass)}

#define OF_HEADS(called, member, reduced)                                                          \
    {                                                                                              \
        .name = (called), .per = PER_HEAD, .reduction = (reduced), .of_heads = true,               \
        .output = offsetof(struct head_statistics, member)                                         \
    }
#define HEAD_ROWS                                                                                  \
    OF_HEADS("head_entropy", entropy, MEAN_OVER_TOKENS),                                           \
        OF_HEADS("head_copy", copy, MEAN_OVER_TOKENS),                                             \
        OF_HEADS("head_sink", sinks, MEAN_OVER_TOKENS),                                            \
        OF_HEADS("head_peak", peak, MEAN_OVER_TOKENS),                                             \
        OF_HEADS("head_mean_row_entropy", row_entropy, ONCE_A_REPLY)

/* By a second call, whose turns are speakers; the outputs of the first get what they have. */
static void speaker_masses(struct queue *q, const struct attention_summary *rows,
                           const struct statistic_sizes *sizes, void *out)
{
    struct attention_summary summary = *rows;
    (void)sizes;
    summary.turn = rows->speaker;
    summary.turns = 2 * STATISTICS_SPEAKERS;
    summary.turn_mass = out;
    summary.slot_mass = NULL;
    summary.top_position = NULL;
    q->op->attention_summary(q, &summary);
}
#define SPEAKER_ROW                                                                                \
    {                                                                                              \
        .name = "speaker_mass", .per = PER_SPEAKER, .reduction = MEAN_OVER_TOKENS,                 \
        .compute = speaker_masses                                                                  \
    }

#define SUMMARY_ROW                                                                                \
    {                                                                                              \
        .name = "summary_mass", .per = PER_TOKEN, .metric = "summary_mass", SUMMARY(slot_mass)     \
    }

#define TABLE(array)                                                                               \
    {                                                                                              \
        array, sizeof(array) / sizeof *(array)                                                     \
    }

static const struct statistic standard[] = {STANDARD_ROWS("sink_mass")};
static const struct statistic causal[] = {CAUSAL_ROWS};
const struct statistic_table statistics_standard = TABLE(standard);
static const struct statistic_table statistics_causal = TABLE(causal);

/* With what is asked for by name, h: of heads, u: of the summary, s: of speakers. */
static const struct statistic standard_h[] = {STANDARD_ROWS("sink_mass"), HEAD_ROWS};
static const struct statistic standard_u[] = {STANDARD_ROWS("sink_mass"), SUMMARY_ROW};
static const struct statistic standard_uh[] = {STANDARD_ROWS("sink_mass"), SUMMARY_ROW, HEAD_ROWS};
static const struct statistic standard_s[] = {STANDARD_ROWS("sink_mass"), SPEAKER_ROW};
static const struct statistic standard_sh[] = {STANDARD_ROWS("sink_mass"), SPEAKER_ROW, HEAD_ROWS};
static const struct statistic standard_us[] = {STANDARD_ROWS("sink_mass"), SUMMARY_ROW,
                                               SPEAKER_ROW};
static const struct statistic standard_ush[] = {STANDARD_ROWS("sink_mass"), SUMMARY_ROW,
                                                SPEAKER_ROW, HEAD_ROWS};
#define LOOKBACK_ROW OF_HEADS("head_lookback", lookback, MEAN_OVER_TOKENS)
static const struct statistic causal_h[] = {CAUSAL_ROWS, HEAD_ROWS, LOOKBACK_ROW};
static const struct statistic causal_s[] = {CAUSAL_ROWS, SPEAKER_ROW};
static const struct statistic causal_sh[] = {CAUSAL_ROWS, SPEAKER_ROW, HEAD_ROWS, LOOKBACK_ROW};

const struct statistic_table *statistics_of(const struct model_shape *shape, int also)
{
    enum { H = STATISTICS_OF_HEADS, U = STATISTICS_OF_SUMMARY, S = STATISTICS_OF_SPEAKERS };
    static const struct statistic_table standard_with[] = {
        [H] = TABLE(standard_h),          [U] = TABLE(standard_u),
        [U | H] = TABLE(standard_uh),     [S] = TABLE(standard_s),
        [S | H] = TABLE(standard_sh),     [U | S] = TABLE(standard_us),
        [U | S | H] = TABLE(standard_ush)};
    static const struct statistic_table causal_with[] = {
        [H] = TABLE(causal_h), [S] = TABLE(causal_s), [S | H] = TABLE(causal_sh)};
    const bool causal_model = model_shape_is_causal(shape);
    if (causal_model) also &= ~U; /* whose histories have no slots */
    if (!also) return causal_model ? &statistics_causal : &statistics_standard;
    return (causal_model ? causal_with : standard_with) + also;
}

int statistics_find(const struct statistic_table *table, const char *name)
{
    for (int i = 0; i < table->count; i++)
        if (!strcmp(table->rows[i].name, name)) return i;
    return -1;
}

bool statistics_have_heads(const struct statistic_table *table)
{
    for (int i = 0; i < table->count; i++)
        if (table->rows[i].of_heads) return true;
    return false;
}

struct statistic_sizes statistics_sizes(const struct statistic_table *table,
                                        const struct model_shape *shape, int64_t captured_layers,
                                        int64_t turns)
{
    const bool all = statistics_have_heads(table);
    return (struct statistic_sizes){
        .turns = turns, .layers = all ? shape->layers : captured_layers, .heads = shape->heads};
}

/* Rows of a statistic's width that a reply of so many tokens has. */
static int64_t stored_rows(const struct statistic *row, int64_t tokens)
{
    return row->reduction == EVERY_TOKEN ? tokens : 1;
}

int64_t statistic_width(const struct statistic *row, const struct statistic_sizes *sizes)
{
    switch (row->per) {
    case PER_TURN:
        return sizes->turns;
    case PER_POSITION:
        return STATISTICS_TOP;
    case PER_HEAD:
        return sizes->layers * sizes->heads;
    case PER_SPEAKER:
        return 2 * STATISTICS_SPEAKERS;
    default:
        return 1;
    }
}

size_t statistic_number_bytes(const struct statistic *row)
{
    return row->encoding == ENCODE_LOG8 ? 1 : 4;
}

uint8_t statistic_log8(float weight)
{
    if (!(weight > 0.0f)) return 0;
    float code = 255.0f + 16.0f * log2f(weight);
    if (code < 1.0f) return 0;
    return code >= 255.0f ? 255 : (uint8_t)lrintf(code);
}

float statistic_from_log8(uint8_t code)
{
    return code ? exp2f((float)(code - 255) / 16.0f) : 0.0f;
}

int64_t statistics_numbers(const struct statistics *statistics, int row)
{
    const struct statistic *one = &statistics->table->rows[row];
    return stored_rows(one, statistics->tokens) * statistic_width(one, &statistics->sizes);
}

void statistics_allocate(struct statistics *statistics, const struct statistic_table *table,
                         const struct statistic_sizes *sizes, int64_t tokens)
{
    assert(table->count <= STATISTICS_MAX);
    *statistics = (struct statistics){.table = table, .sizes = *sizes, .tokens = tokens};
    for (int i = 0; i < table->count; i++) {
        const int64_t numbers = statistics_numbers(statistics, i);
        statistics->array[i] = memory_allocate((size_t)numbers * 4 + 4);
        if (table->rows[i].encoding == ENCODE_INDEX)
            memset(statistics->array[i], -1, (size_t)numbers * 4);
    }
}

void statistics_free(struct statistics *statistics)
{
    for (int i = 0; i < STATISTICS_MAX; i++) free(statistics->array[i]);
    *statistics = (struct statistics){0};
}

void statistics_copy_rounded(struct statistics *to, const struct statistics *from)
{
    statistics_free(to);
    statistics_allocate(to, from->table, &from->sizes, from->tokens);
    for (int i = 0; i < from->table->count; i++) {
        const int64_t numbers = statistics_numbers(from, i);
        memcpy(to->array[i], from->array[i], (size_t)numbers * 4);
        if (from->table->rows[i].encoding != ENCODE_LOG8) continue;
        float *weights = to->array[i];
        for (int64_t n = 0; n < numbers; n++)
            weights[n] = statistic_from_log8(statistic_log8(weights[n]));
    }
}

const float *statistics_floats(const struct statistics *statistics, int row)
{
    assert(statistics->table->rows[row].encoding != ENCODE_INDEX);
    return statistics->array[row];
}

const int32_t *statistics_indices(const struct statistics *statistics, int row)
{
    assert(statistics->table->rows[row].encoding == ENCODE_INDEX);
    return statistics->array[row];
}

static int64_t row_columns(const struct statistic *row, const struct statistic_sizes *sizes)
{
    return row->metric && row->encoding != ENCODE_INDEX ? statistic_width(row, sizes) : 0;
}

int64_t statistics_columns(const struct statistic_table *table, const struct statistic_sizes *sizes)
{
    int64_t columns = 0;
    for (int i = 0; i < table->count; i++) columns += row_columns(&table->rows[i], sizes);
    return columns;
}

void statistics_column_name(const struct statistic_table *table,
                            const struct statistic_sizes *sizes, int64_t column, char name[64])
{
    int i = 0;
    for (; column >= row_columns(&table->rows[i], sizes); i++)
        column -= row_columns(&table->rows[i], sizes);
    const struct statistic *row = &table->rows[i];
    if (row->per == PER_TOKEN)
        snprintf(name, 64, "%s", row->metric);
    else if (row->per == PER_HEAD)
        snprintf(name, 64, "%s_%lld_%lld", row->metric, (long long)(column / sizes->heads),
                 (long long)(column % sizes->heads));
    else
        snprintf(name, 64, "%s_%lld", row->metric, (long long)column);
}

/* Of one number of the row's width over what is stored of the tokens. */
static double number_mean(const struct statistics *statistics, int row, int64_t number)
{
    const struct statistic *one = &statistics->table->rows[row];
    const float *values = statistics->array[row];
    const int64_t width = statistic_width(one, &statistics->sizes);
    const int64_t rows = stored_rows(one, statistics->tokens);
    double sum = 0;
    for (int64_t t = 0; t < rows; t++) sum += (double)values[t * width + number];
    return rows ? sum / (double)rows : 0;
}

void statistics_means(const struct statistics *statistics, const struct statistic_sizes *sizes,
                      double *value)
{
    const int64_t turns = statistics->sizes.turns;
    for (int i = 0; i < statistics->table->count; i++) {
        const struct statistic *row = &statistics->table->rows[i];
        const int64_t columns = row_columns(row, sizes);
        for (int64_t c = 0; c < columns; c++) {
            if (row->per != PER_TURN)
                *value++ = number_mean(statistics, i, c);
            else
                *value++ = c < turns && statistics->tokens
                               ? number_mean(statistics, i, turns - 1 - c)
                               : NAN;
        }
    }
}
