/* The attention summary of captured rows (docs/reward.md, Terms): restriction to V, the shuffle
 * control, entropy, entropy floor, salient mass, mass a turn, top positions.  In float64, one block
 * a row, each sum in one fixed order. */
#include "cuda.cuh"
#include "philox.cuh"
#include "reduce.cuh"

enum { threads = 128, warps = threads / 32, shared_limit = 40 << 10 };

/* The row over V: weights and where they stand in the history. */
struct row {
    double *a;
    int32_t *where;
    int count;
};

static __device__ inline double entropy_of(const struct row &row, double keep, double uniform)
{
    double sum = 0.0;
    for (int i = threadIdx.x; i < row.count; i += threads) {
        const double x = keep * row.a[i] + uniform;
        if (x > 0.0) sum -= x * log(x);
    }
    return block_sum(sum);
}

/* As the CPU's: the smallest w, to 1e-9, whose mixture's entropy is delta. */
static __device__ inline double mix_weight(const struct row &row, double delta)
{
    double low = 0.0, high = 1.0;
    while (high - low > 1e-9) {
        const double w = 0.5 * (low + high);
        if (entropy_of(row, 1.0 - w, w / (double)row.count) < delta)
            low = w;
        else
            high = w;
    }
    return high;
}

/* Fisher-Yates from the last down, by one thread: the stream of the CPU's weights_shuffle. */
static __device__ inline void weights_shuffle(const struct row &row,
                                              const struct attention_summary &s, int64_t at)
{
    const uint32_t *counter = s.counter + 3 * reply_entry(s.at, at);
    struct philox_words random = {};
    for (int i = 0; i + 1 < row.count; i++) {
        const int left = row.count - i;
        if (i % 4 == 0)
            random = philox4x32(counter[0], counter[1], counter[2], (uint32_t)s.step[at], s.key[0],
                                s.key[1] + 256u * (uint32_t)(i / 4));
        const uint32_t word = i % 4 == 0   ? random.word[0]
                              : i % 4 == 1 ? random.word[1]
                              : i % 4 == 2 ? random.word[2]
                                           : random.word[3];
        const int pick = (int)__umulhi(word, (unsigned)left);
        const double swap = row.a[left - 1];
        row.a[left - 1] = row.a[pick];
        row.a[pick] = swap;
    }
}

/* Highest weight first; among equals the lower position.  Each round takes the best of those that
 * come after the last one taken. */
static __device__ inline void row_top(int32_t *position, float *weight, int64_t top,
                                      const struct row &row)
{
    __shared__ float best_weight[warps];
    __shared__ int best_place[warps];
    float taken = INFINITY;
    int taken_at = -1;
    for (int64_t t = 0; t < top; t++) {
        float best = -1.0f;
        int at = row.count;
        for (int i = threadIdx.x; i < row.count; i += threads) {
            const float x = (float)row.a[i];
            if ((x < taken || (x == taken && i > taken_at)) && x > best) best = x, at = i;
        }
        for (int bits = 16; bits > 0; bits /= 2) {
            const float other = __shfl_xor_sync(0xffffffffu, best, bits);
            const int place = __shfl_xor_sync(0xffffffffu, at, bits);
            if (other > best || (other == best && place < at)) best = other, at = place;
        }
        if (threadIdx.x % 32 == 0) {
            best_weight[threadIdx.x / 32] = best;
            best_place[threadIdx.x / 32] = at;
        }
        __syncthreads();
        for (int w = 0; w < warps; w++)
            if (best_weight[w] > best || (best_weight[w] == best && best_place[w] < at))
                best = best_weight[w], at = best_place[w];
        __syncthreads(); /* both are free again */
        if (threadIdx.x == 0) {
            position[t] = at < row.count ? row.where[at] : -1;
            weight[t] = at < row.count ? best : 0.0f;
        }
        taken = best, taken_at = at;
    }
}

/* Gathers the history's visible positions, ascending; returns the mass of the others. */
static __device__ inline double row_gather(struct row *row, const struct attention_summary &s,
                                           int64_t at, int64_t begin, int keys)
{
    __shared__ int found[warps];
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const float *captured = s.capture + at * s.capture_stride;
    double special = 0.0, sum = 0.0;
    row->count = 0;
    for (int first = 0; first < keys; first += threads) {
        const int j = first + (int)threadIdx.x;
        const double x = j < keys ? (double)captured[j] * (double)s.weight : 0.0;
        const bool visible = j < keys && s.visible[begin + j];
        const unsigned lanes = __ballot_sync(0xffffffffu, visible);
        if (lane == 0) found[warp] = __popc(lanes);
        __syncthreads();
        int place = row->count + __popc(lanes & ((1u << lane) - 1));
        for (int w = 0; w < warps; w++) {
            if (w < warp) place += found[w];
            row->count += found[w];
        }
        __syncthreads(); /* found is free again */
        if (visible) {
            row->a[place] = x;
            row->where[place] = j;
            sum += x;
        } else {
            special += x;
        }
    }
    sum = block_sum(sum);
    for (int i = threadIdx.x; i < row->count; i += threads)
        row->a[i] = sum == 0.0 ? 1.0 / (double)row->count : row->a[i] / sum;
    special = block_sum(special);
    return special;
}

/* As the CPU's: where the row's weight lies, whatever V is. */
static __device__ inline void row_masses(const struct attention_summary &s, int64_t at,
                                         int64_t entry, int64_t begin, int keys)
{
    const float *captured = s.capture + at * s.capture_stride;
    const int end = keys + s.step[at];
    double special = 0.0, history = 0.0, reply = 0.0;
    for (int j = 1 + (int)threadIdx.x; j < end; j += threads) {
        const double x = (double)captured[j] * (double)s.weight;
        if (j >= keys)
            reply += x;
        else if (s.special[begin + j])
            special += x;
        else
            history += x;
    }
    special = block_sum(special);
    history = block_sum(history);
    reply = block_sum(reply);
    if (threadIdx.x != 0) return;
    s.special_mass[entry] = (float)special;
    if (s.first_mass)
        s.first_mass[entry] = keys ? (float)((double)captured[0] * (double)s.weight) : 0.0f;
    if (s.history_mass) s.history_mass[entry] = (float)history;
    if (s.reply_mass) s.reply_mass[entry] = (float)reply;
}

/* Working space of a row: shared memory, or scratch_row bytes of `scratch` where it is too long for
 * that. */
static __global__ void __launch_bounds__(threads)
    attention_summary_kernel(struct attention_summary s, char *scratch, int64_t scratch_row)
{
    const int64_t at = blockIdx.x, history = s.history_of_row[at], begin = s.key_begin[history];
    const int64_t entry = token_entry(s.at, s.step, at);
    const int keys = (int)(s.key_end[history] - begin);
    char *space = scratch ? scratch + at * scratch_row : dynamic_shared<char>();
    struct row row = {(double *)space, (int32_t *)((double *)space + s.capture_stride), 0};
    const double special = row_gather(&row, s, at, begin, keys);
    if (s.shuffle) {
        if (threadIdx.x == 0) weights_shuffle(row, s, at);
        __syncthreads();
    }
    for (int64_t t = 0; s.turn_mass && t < s.turns; t++) {
        double mass = 0.0;
        for (int i = threadIdx.x; i < row.count; i += threads)
            if (s.turn[begin + row.where[i]] == t) mass += row.a[i];
        mass = block_sum(mass);
        if (threadIdx.x == 0) s.turn_mass[entry * s.turns + t] = (float)mass;
    }
    if (s.slot_mass) {
        double mass = 0.0;
        for (int i = threadIdx.x; i < row.count; i += threads)
            if (s.slots[begin + row.where[i]]) mass += row.a[i];
        mass = block_sum(mass);
        if (threadIdx.x == 0) s.slot_mass[entry] = (float)mass;
    }
    if (s.top_position)
        row_top(s.top_position + entry * s.top, s.top_weight + entry * s.top, s.top, row);
    const double entropy = entropy_of(row, 1.0, 0.0);
    /* A floor of log|V| came rounded to float; see the CPU's row_summary. */
    double delta = (double)s.floor_delta[reply_entry(s.at, at)];
    if (row.count > 0 && delta >= (double)(float)log((double)row.count))
        delta = log((double)row.count);
    double floored = entropy, keep = 1.0, uniform = 0.0;
    if (row.count > 0 && entropy < delta && s.floor == ROW_FLOOR_VALUE) floored = delta;
    if (row.count > 0 && entropy < delta && s.floor == ROW_FLOOR_MIX) {
        const double w = mix_weight(row, delta);
        keep = 1.0 - w;
        uniform = w / (double)row.count;
        floored = entropy_of(row, keep, uniform);
    }
    double salient = 0.0;
    for (int i = threadIdx.x; i < row.count; i += threads)
        if (s.salient[begin + row.where[i]]) salient += keep * row.a[i] + uniform;
    salient = block_sum(salient);
    if (s.special) row_masses(s, at, entry, begin, keys);
    if (threadIdx.x != 0) return;
    s.entropy[entry] = (float)entropy;
    s.entropy_floored[entry] = (float)floored;
    s.salient_mass[entry] = (float)salient;
    if (!s.special) s.special_mass[entry] = (float)special;
}

void cuda_attention_summary(struct queue *q, const struct attention_summary *s)
{
    if (s->rows == 0) return;
    const int64_t bytes =
        8 * cuda_divide_up(s->capture_stride * (int64_t)(sizeof(double) + sizeof(int32_t)), 8);
    char *scratch = NULL;
    if (bytes > shared_limit) {
        scratch = (char *)cuda_scratch(q, (size_t)(s->rows * bytes));
        if (!scratch) return;
    }
    cuda_launch(q, attention_summary_kernel, s->rows, threads, scratch ? 0 : bytes, *s, scratch,
                bytes);
}

static __global__ void __launch_bounds__(threads)
    attention_received_kernel(struct attention_received a)
{
    const int64_t at = blockIdx.x, history = a.history_of_row[at], reply = a.reply[at];
    const int keys = a.key_end[history] - a.key_begin[history];
    const bool ended = a.ended[reply] != 0;
    for (int j = (int)threadIdx.x; j < keys && !ended; j += threads) {
        float *sum = a.sum + reply * a.stride + j;
        *sum = __fadd_rn(*sum, __fmul_rn(a.capture[at * a.capture_stride + j], a.weight));
    }
    __syncthreads(); /* all have read whether it has ended */
    if (threadIdx.x != 0 || ended) return;
    for (int64_t e = 0; e < a.ends; e++)
        if (a.token[at] == a.end[e]) a.ended[reply] = 1;
}

void cuda_attention_received(struct queue *q, const struct attention_received *a)
{
    if (a->rows == 0) return;
    cuda_launch(q, attention_received_kernel, a->rows, threads, 0, *a);
}
