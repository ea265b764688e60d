#include "tools/regard/reward_inspect.h"

#include "src/base/memory.h"
#include "src/learn/preference.h"
#include "src/model/attention_watch.h"
#include "src/model/buffer.h"

#include <math.h>
#include <stdlib.h>

struct looking {
    struct queue *queue;
    bool last_row; /* of a decoder-only model, whose value is of it; else the mean of all */
    double mass[INSPECT_FIFTHS];
    status error;
};

/* Adds a row's weights, an n-th of the mass each head. */
static void row_add(struct looking *looking, const struct attention *a, const float *q,
                    const float *k, const float *bias, int64_t row, int64_t h, double share,
                    double *weight)
{
    const int64_t n = a->query_rows, d = a->head_dim, kv = h / (a->heads / a->kv_heads);
    double top = -INFINITY, sum = 0;
    for (int64_t j = 0; j < n; j++) {
        double dot = 0;
        for (int64_t x = 0; x < d; x++)
            dot +=
                (double)q[row * a->q_stride + h * d + x] * (double)k[j * a->k_stride + kv * d + x];
        weight[j] = dot * (double)a->scale;
        if (bias)
            weight[j] += (double)bias[h * (2 * a->bias_span - 1) + j - row + a->bias_span - 1];
        top = fmax(top, weight[j]);
    }
    for (int64_t j = 0; j < n; j++) sum += weight[j] = exp(weight[j] - top);
    for (int64_t j = 0; j < n; j++)
        looking->mass[j * INSPECT_FIFTHS / n] += share * weight[j] / sum;
}

/* Of a pass of one sequence without cuts, whose rows are its tokens in order. */
static void look(void *context, int64_t layer, const struct attention *a)
{
    struct looking *looking = context;
    const int64_t n = a->query_rows, first = looking->last_row ? n - 1 : 0;
    (void)layer;
    const int64_t q_count = (n - 1) * a->q_stride + a->heads * a->head_dim;
    const int64_t k_count = (n - 1) * a->k_stride + a->kv_heads * a->head_dim;
    float *q = memory_allocate((size_t)q_count * sizeof *q);
    float *k = memory_allocate((size_t)k_count * sizeof *k);
    status s = reals_download(looking->queue, a->q, q_count, q);
    s = status_first(s, reals_download(looking->queue, a->k, k_count, k));
    const int64_t entries = a->bias ? a->heads * (2 * a->bias_span - 1) : 0;
    float *bias = entries ? memory_allocate((size_t)entries * sizeof *bias) : NULL;
    double *weight = memory_allocate((size_t)n * sizeof *weight);
    if (bias)
        looking->queue->op->download(looking->queue, bias, a->bias, (size_t)entries * sizeof *bias);
    s = status_first(s, looking->queue->op->synchronize(looking->queue));
    const double share = 1 / (double)((n - first) * a->heads);
    for (int64_t row = first; !s && row < n; row++)
        for (int64_t h = 0; h < a->heads; h++)
            row_add(looking, a, q, k, bias, row, h, share, weight);
    looking->error = status_first(looking->error, s);
    free(q);
    free(k);
    free(bias);
    free(weight);
}

/* The value of the sequence without its first tokens. */
static status tail_read(struct reward_reader *reader, const struct reward_sequence *sequence,
                        int64_t without, double *value)
{
    const struct reward_sequence tail = {.tokens = sequence->tokens + without,
                                         .count = sequence->count - without};
    return reward_reader_read(reader, &tail, 1, value);
}

/* The share of the pair's decisions (two where the replies are judged apart) that are right without
 * so many tenths; one that is not decided is half right. */
static status decided(struct reward_reader *reader, const struct reward_sequence *sequences,
                      int64_t count, int order, bool apart, int tenths, double *right)
{
    double values[2] = {0, 0};
    for (int64_t i = 0; i < count; i++)
        TRY(tail_read(reader, &sequences[i], sequences[i].count * tenths / INSPECT_MASKS,
                      &values[i]));
    *right = apart ? (preference_decided(values[0]) + preference_decided(-values[1])) / 2
                   : preference_decided(count == 1 ? order * values[0] : values[0] - values[1]);
    return NULL;
}

status inspect_pair(struct inspection *inspection, struct reward_reader *reader,
                    const struct reward_sequence *sequences, int64_t count, int order, bool apart)
{
    struct value_model *model = reward_reader_model(reader);
    struct model *trunk = value_model_trunk(model);
    struct looking looking = {.queue = model_queue(trunk),
                              .last_row = model_shape_is_causal(model_shape(trunk))};
    const struct attention_watch watch = {.layers = 1, .forward = look, .context = &looking};
    double right = 0;
    value_model_watch(model, &watch);
    status s = decided(reader, sequences, count, order, apart, 0, &right);
    value_model_watch(model, NULL);
    TRY(status_first(looking.error, s));
    inspection->masked[0] += right;
    inspection->pairs[right > 0.5]++;
    for (int f = 0; f < INSPECT_FIFTHS; f++)
        inspection->attention[right > 0.5][f] += looking.mass[f] / (double)count;
    for (int m = 1; m < INSPECT_MASKS; m++) {
        TRY(decided(reader, sequences, count, order, apart, m, &right));
        inspection->masked[m] += right;
    }
    return NULL;
}

void inspection_list(const struct inspection *inspection, struct metric_list *out)
{
    const int64_t pairs = inspection->pairs[0] + inspection->pairs[1];
    for (int m = 0; pairs && m < INSPECT_MASKS; m++)
        metric_list_add(out, inspection->masked[m] / (double)pairs, "masked_%d",
                        100 * m / INSPECT_MASKS);
    for (int r = 0; r < 2; r++)
        for (int f = 0; inspection->pairs[r] && f < INSPECT_FIFTHS; f++)
            metric_list_add(out, inspection->attention[r][f] / (double)inspection->pairs[r],
                            "attention_%s_%d", r ? "right" : "wrong", f + 1);
}
