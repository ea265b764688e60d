/* Statistics of every head's row of attention (struct head_statistics in kernels/ops.h), from the
 * scores that a call has stored.  A row is a block's: key j is thread j modulo the block's, so that
 * a row's bits depend on its scores and its history's masks alone. */
#include "attention.cuh"

enum { threads = 128 };

/* Of a row p = x / sum over V: log sum - (sum of x log x) / sum, over log|V|. */
static __device__ inline float relative_entropy(double sum, double logs, float uniform)
{
    if (!(uniform > 0.0f)) return 0.0f;
    return sum > 0.0 ? (float)((log(sum) - logs / sum) / (double)uniform) : 1.0f;
}

/* x log x */
static __device__ inline float logged(float x)
{
    return x > 0.0f ? __fmul_rn(x, logf(x)) : 0.0f;
}

/* Does key j of the history count as a copy of `token`? */
static __device__ inline bool is_copy(const struct head_statistics &s, int64_t begin, int j,
                                      int32_t token)
{
    return s.token[begin + j] == token && s.visible[begin + j] > 0.0f;
}

/* What a block knows of a row of weights. */
struct head_row {
    const float *score;
    float2 scale;
    bool base2;
    int64_t column;          /* of the outputs */
    int64_t begin;           /* of the history's tokens */
    int history, seen, keys; /* keys that the row sees; of those, the history's */
};

static __device__ inline struct head_row head_row_of(const struct attention &a,
                                                     const struct head_statistics &s,
                                                     const struct stored_scores &stored,
                                                     int64_t first_row, int64_t row, int64_t h)
{
    struct head_row r;
    r.score = stored.scores + h * stored.head_stride + row * stored.row_stride;
    r.scale = stored.scale[row * a.heads + h];
    r.base2 = stored.base2;
    r.column = s.layer * a.heads + h;
    r.history = s.history_of_row[first_row + row];
    r.begin = s.key_begin[r.history];
    r.seen = stored.seen[row].y;
    r.keys = min(r.seen, s.key_end[r.history] - (int)r.begin);
    return r;
}

static __device__ inline float weight_at(const struct head_row &r, int j)
{
    return stored_weight(r.score[j], r.scale, r.base2);
}

/* Blocks: rows, heads. */
static __global__ void __launch_bounds__(threads)
    head_statistics_kernel(struct attention a, struct head_statistics s, int64_t first_row,
                           struct stored_scores stored)
{
    const int64_t at_row = first_row + blockIdx.x;
    if (at_row >= a.query_begin[a.segments]) return;
    const struct head_row r = head_row_of(a, s, stored, first_row, blockIdx.x, blockIdx.y);
    const int64_t reply = s.reply[at_row];
    float *kept = s.next ? NULL : s.kept + (at_row * s.width + r.column) * s.stride;
    float *sums =
        s.next || s.ended[reply] ? NULL : s.rows + (reply * s.width + r.column) * s.stride;
    const int32_t next = s.next ? s.next[at_row] : 0;
    float on = 0.0f, logs = 0.0f, sunk = 0.0f, behind = 0.0f, peak = 0.0f;
    double copy = 0.0;
    for (int j = (int)threadIdx.x; j < r.seen; j += threads) {
        const float w = weight_at(r, j);
        if (j >= r.keys) {
            behind += w;
            continue;
        }
        sunk += w * s.sink[r.begin + j];
        if (s.visible[r.begin + j] > 0.0f) {
            on += w;
            logs += logged(w);
            peak = fmaxf(peak, w);
        }
        if (s.next && is_copy(s, r.begin, j, next)) copy += (double)w;
        if (kept) kept[j] = w;
        if (sums) sums[j] = __fadd_rn(sums[j], w);
    }
    const double seen = block_sum((double)on), weighted = block_sum((double)logs);
    const double sinks = block_sum((double)sunk), own = block_sum((double)behind);
    peak = block_max(peak);
    if (s.next) copy = block_sum(copy);
    if (threadIdx.x != 0) return;
    const int64_t at = token_entry(s.at, s.step, at_row) * s.width + r.column;
    s.entropy[at] = relative_entropy(seen, weighted, s.uniform[r.history]);
    if (s.lookback) s.lookback[at] = seen + own > 0.0 ? (float)(seen / (seen + own)) : 0.0f;
    s.sinks[at] = (float)sinks;
    s.peak[at] = peak;
    if (s.next) s.copy[at] = (float)copy;
}

/* Of rows whose tokens are known: those of a reply among the part's are added in order.  Blocks:
 * segments, heads. */
static __global__ void __launch_bounds__(threads)
    head_rows_kernel(struct attention a, struct head_statistics s, struct row_range range,
                     struct stored_scores stored)
{
    const int64_t first = max((int64_t)a.query_begin[blockIdx.x], range.first);
    const int64_t end = min((int64_t)a.query_begin[blockIdx.x + 1], range.end);
    if (first >= end) return;
    const struct head_row r =
        head_row_of(a, s, stored, range.first, first - range.first, blockIdx.y);
    float *sums = s.rows + (s.reply[first] * s.width + r.column) * s.stride;
    for (int j = (int)threadIdx.x; j < r.keys; j += threads) {
        float sum = sums[j];
        for (int64_t row = first; row < end; row++)
            sum = __fadd_rn(
                sum, weight_at(
                         head_row_of(a, s, stored, range.first, row - range.first, blockIdx.y), j));
        sums[j] = sum;
    }
}

void head_statistics_part(struct queue *q, const struct attention_part *part)
{
    const struct attention *a = part->a;
    const struct head_statistics *s = a->statistics;
    const dim3 rows((unsigned)(part->range.end - part->range.first), (unsigned)a->heads);
    const dim3 segments((unsigned)a->segments, (unsigned)a->heads);
    cuda_launch(q, head_statistics_kernel, rows, threads, 0, *a, *s, part->range.first,
                part->stored);
    if (s->next)
        cuda_launch(q, head_rows_kernel, segments, threads, 0, *a, *s, part->range, part->stored);
}

/* Blocks: rows, columns. */
static __global__ void __launch_bounds__(threads) head_copy_kernel(struct head_statistics s)
{
    const int64_t row = blockIdx.x, column = blockIdx.y;
    const int32_t history = s.history_of_row[row], next = s.next[row];
    const int64_t begin = s.key_begin[history];
    const int keys = s.key_end[history] - (int)begin;
    const float *kept = s.kept + (row * s.width + column) * s.stride;
    double copy = 0.0;
    for (int j = (int)threadIdx.x; j < keys; j += threads)
        if (is_copy(s, begin, j, next)) copy += (double)kept[j];
    copy = block_sum(copy);
    if (threadIdx.x != 0) return;
    s.copy[token_entry(s.at, s.step, row) * s.width + column] = (float)copy;
    if (column > 0) return;
    for (int i = 0; i < (int)s.ends; i++)
        if (s.end[i] == next) s.ended[s.reply[row]] = 1;
}

void cuda_head_statistics_sampled(struct queue *q, const struct head_statistics *s, int64_t rows)
{
    if (rows == 0) return;
    cuda_launch(q, head_copy_kernel, dim3((unsigned)rows, (unsigned)s->width), threads, 0, *s);
}

/* Blocks: replies, columns. */
static __global__ void __launch_bounds__(threads)
    head_row_entropy_kernel(struct head_statistics s, const int32_t *__restrict__ history,
                            const int32_t *__restrict__ first)
{
    const int64_t reply = blockIdx.x, column = blockIdx.y, begin = s.key_begin[history[reply]];
    const int keys = s.key_end[history[reply]] - (int)begin;
    const float *sums = s.rows + (reply * s.width + column) * s.stride;
    float on = 0.0f, logs = 0.0f;
    for (int j = (int)threadIdx.x; j < keys; j += threads)
        if (s.visible[begin + j] > 0.0f) {
            on += sums[j];
            logs += logged(sums[j]);
        }
    const double seen = block_sum((double)on), weighted = block_sum((double)logs);
    if (threadIdx.x != 0) return;
    const int64_t entry = first ? first[reply] : reply * s.at.stride;
    s.row_entropy[entry * s.width + column] =
        relative_entropy(seen, weighted, s.uniform[history[reply]]);
}

void cuda_head_row_entropy(struct queue *q, const struct head_statistics *s, const int32_t *history,
                           const int32_t *first, int64_t replies)
{
    if (replies == 0) return;
    cuda_launch(q, head_row_entropy_kernel, dim3((unsigned)replies, (unsigned)s->width), threads, 0,
                *s, history, first);
}
