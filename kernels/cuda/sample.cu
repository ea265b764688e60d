/* Sampling one token a row: temperature, then top-k, then top-p over what is left, then the inverse
 * of the cumulative distribution over the kept tokens in ascending order of id.  Tokens are ranked
 * by logit, ties by the lower id; the last one kept is found by radix selection on the logits'
 * bits, so nothing is sorted.  Probabilities are summed as whole numbers of 2^-47 or so: such sums
 * are exact, so that atomics may add them in any order and the token does not depend on it.
 * A row is read from device memory once, where the block's shared memory holds it: the other passes
 * are there, with the same bits. */
#include "cuda.cuh"
#include "philox.cuh"
#include "softmax.cuh"

#include <math.h>

enum {
    threads = softmax_threads,
    digits = 3, /* of a key, the highest first */
    bins = 1 << 11,
    thread_bins = bins / threads,
    own_shared = 20 << 10 /* bytes at most of the kernel's own arrays, bins above all */
};

typedef unsigned long long mass; /* what atomicAdd takes */

/* The last token kept: those of a higher key are kept, and those of its key up to its id. */
struct last_kept {
    unsigned key;
    int32_t id;
};

/* A row, and what turns a logit into a mass. */
struct weighing {
    const float *x;
    int64_t vocabulary;
    float temperature, largest, unit; /* masses are multiples of 1 / unit */
    struct last_kept last;
};

/* Ascending in x; -0 is 0. */
static __device__ inline unsigned key_of(float x)
{
    const unsigned bits = __float_as_uint(x + 0.0f);
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

static __device__ inline float logit_of(unsigned key)
{
    return __uint_as_float(key & 0x80000000u ? key & 0x7fffffffu : ~key);
}

static __device__ inline bool is_kept(const struct last_kept &last, unsigned key, int64_t id)
{
    return key > last.key || (key == last.key && id <= last.id);
}

/* Of e^(z - largest).  A NaN has no mass. */
static __device__ inline mass mass_of_weight(float e, float unit)
{
    return e > 0.0f ? (mass)(e * unit) : 0;
}

static __device__ inline mass mass_of(const struct weighing &row, float x)
{
    return mass_of_weight(expf(x / row.temperature - row.largest), row.unit);
}

static __device__ inline mass kept_mass(const struct weighing &row, float x, int64_t id)
{
    return is_kept(row.last, key_of(x), id) ? mass_of(row, x) : 0;
}

/* The sum of x over the threads before this one. */
static __device__ inline mass block_before(mass x)
{
    __shared__ mass total[32];
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    mass sum = x, before = 0;
    for (int by = 1; by < 32; by *= 2) {
        const mass other = __shfl_up_sync(0xffffffffu, sum, (unsigned)by);
        if (lane >= by) sum += other;
    }
    if (lane == 31) total[warp] = sum;
    __syncthreads();
    for (int w = 0; w < warp; w++) before += total[w];
    __syncthreads(); /* total is free again */
    return before + sum - x;
}

struct selected {
    unsigned key;
    mass rest; /* of `need`, what is left for the tokens of that key */
};

/* Going down the ranks, the key at which the sum of weight(x, key, id) reaches `need`. */
template <class W>
static __device__ inline struct selected rank_select(const struct weighing &row, mass *bin,
                                                     mass need, const W &weight)
{
    __shared__ struct selected found;
    unsigned key = 0;
    for (int digit = 0, shift = 21, above = 32; digit < digits; digit++) {
        const unsigned mask = (1u << (above - shift)) - 1;
        for (int i = threadIdx.x; i < bins; i += threads) bin[i] = 0;
        if (threadIdx.x == 0) found = {0, 1}; /* a row of NaNs reaches nothing */
        __syncthreads();
        row_visit(row.x, row.vocabulary, [&](float x, int64_t id) {
            const unsigned k = key_of(x);
            if (digit > 0 && k >> above != key) return;
            const mass w = weight(x, k, id);
            if (w) atomicAdd(bin + (k >> shift & mask), w);
        });
        __syncthreads();
        const int top = bins - 1 - thread_bins * (int)threadIdx.x; /* of this thread's bins */
        mass own = 0;
        for (int i = 0; i < thread_bins; i++) own += bin[top - i];
        mass before = block_before(own);
        if (before < need && need <= before + own)
            for (int i = 0; i < thread_bins; i++) {
                const mass here = bin[top - i];
                if (need <= before + here) {
                    found = {(unsigned)(top - i), need - before};
                    break;
                }
                before += here;
            }
        __syncthreads();
        key = key << (above - shift) | found.key;
        need = found.rest;
        above = shift;
        shift = shift > 10 ? 10 : 0;
        __syncthreads(); /* found has been read */
    }
    return {key, need};
}

/* Ids first .. end - 1 are this thread's, neighbours: for what goes by ascending id. */
static __device__ inline void own_ids(int64_t vocabulary, int64_t *first, int64_t *end)
{
    const int64_t share = (vocabulary + threads - 1) / threads;
    *first = min(share * (int64_t)threadIdx.x, vocabulary);
    *end = min(*first + share, vocabulary);
}

/* The nth token of that key, from 1. */
static __device__ inline int32_t equals_nth(const struct weighing &row, unsigned key, mass nth)
{
    __shared__ int32_t found;
    int64_t first, end;
    own_ids(row.vocabulary, &first, &end);
    mass own = 0;
    for (int64_t i = first; i < end; i++) own += key_of(row.x[i]) == key;
    if (threadIdx.x == 0) found = (int32_t)row.vocabulary - 1;
    mass before = block_before(own);
    if (before < nth && nth <= before + own)
        for (int64_t i = first; i < end; i++)
            if (key_of(row.x[i]) == key && ++before == nth) found = (int32_t)i;
    __syncthreads();
    const int32_t id = found;
    __syncthreads(); /* found has been read */
    return id;
}

static __device__ inline void top_k_cut(struct weighing *row, mass *bin, int64_t top_k)
{
    const struct selected at =
        rank_select(*row, bin, (mass)top_k, [](float, unsigned, int64_t) { return (mass)1; });
    row->last = {at.key, equals_nth(*row, at.key, at.rest)};
}

/* The token whose mass crosses p is kept. */
static __device__ inline void top_p_cut(struct weighing *row, mass *bin, float top_p)
{
    mass own = 0;
    row_visit(row->x, row->vocabulary, [&](float x, int64_t id) { own += kept_mass(*row, x, id); });
    const mass aim = (mass)ceil((double)top_p * (double)block_sum(own));
    const struct weighing all = *row;
    const struct selected at =
        rank_select(all, bin, aim ? aim : 1,
                    [&](float x, unsigned, int64_t id) { return kept_mass(all, x, id); });
    const mass each = mass_of(all, logit_of(at.key));
    row->last = {at.key, equals_nth(all, at.key, each ? (at.rest + each - 1) / each : 1)};
}

/* The token at which the sum of kept(id), masses, first exceeds its `uniform` / 2^24.  */
template <class K>
static __device__ inline int32_t token_draw(int64_t vocabulary, uint32_t uniform, const K &kept)
{
    __shared__ int32_t found;
    int64_t first, end;
    own_ids(vocabulary, &first, &end);
    mass own = 0;
    for (int64_t i = first; i < end; i++) own += kept(i);
    const mass total = block_sum(own);
    const mass aim = (total >> 24) * uniform + ((total & 0xffffff) * uniform >> 24);
    if (threadIdx.x == 0) found = 0;
    mass before = block_before(own);
    if (before <= aim && aim < before + own)
        for (int64_t i = first; i < end; i++) {
            before += kept(i);
            if (before > aim) {
                found = (int32_t)i;
                break;
            }
        }
    __syncthreads();
    return found;
}

/* By this the higher logit comes first, of equals the lower id; a NaN is the last. */
static __device__ inline mass rank_of(float x, int64_t id)
{
    return (mass)(x == x ? key_of(x) : 0) << 32 | (0xffffffffu - (unsigned)id);
}

/* The token of the highest rank that any thread has seen. */
static __device__ inline int32_t token_first(mass top)
{
    __shared__ mass best[threads / 32];
    for (int bits = 16; bits > 0; bits /= 2) {
        const mass other = __shfl_xor_sync(0xffffffffu, top, bits);
        if (other > top) top = other;
    }
    if (threadIdx.x % 32 == 0) best[threadIdx.x / 32] = top;
    __syncthreads();
    for (int w = 0; w < threads / 32; w++)
        if (best[w] > top) top = best[w];
    return (int32_t)(0xffffffffu - (unsigned)top);
}

/* One block a row.  staged: dynamic shared memory for a row. */
template <bool staged>
static __global__ void __launch_bounds__(threads)
    sample_kernel(struct sampling s, float temperature, float unit)
{
    __shared__ mass bin[bins];
    const int64_t i = blockIdx.x;
    const float *given = s.logits + i * s.vocabulary;
    float *own = staged ? dynamic_shared<float>() : NULL;
    const float *x = staged ? own : given;
    const bool greedy = s.temperature == 0.0f, cut_k = s.top_k > 0 && s.top_k < s.vocabulary;
    const bool all = !greedy && !cut_k && !(s.top_p < 1.0f);
    mass top = 0;
    const struct logits_sums sums = logits_row(
        given, x, temperature, s.vocabulary,
        [&](float v, int64_t id) {
            if (staged) own[id] = v;
            if (greedy) top = max(top, rank_of(v, id));
        },
        [&](float e, int64_t id) { /* no logit is asked for again */
                                   if (staged && all) own[id] = e;
        });
    struct weighing row = {x, s.vocabulary, temperature, sums.largest, unit, {0, 0x7fffffff}};
    int32_t token;
    if (greedy) {
        token = token_first(top);
    } else {
        if (cut_k) top_k_cut(&row, bin, s.top_k);
        if (s.top_p < 1.0f) top_p_cut(&row, bin, s.top_p);
        const uint32_t *counter = s.counter + 3 * reply_entry(s.at, i);
        const struct philox_words random =
            philox4x32(counter[0], counter[1], counter[2], (uint32_t)s.step[i], s.key[0], s.key[1]);
        const uint32_t uniform = random.word[0] >> 8;
        if (staged && all)
            token = token_draw(s.vocabulary, uniform,
                               [&](int64_t id) { return mass_of_weight(own[id], unit); });
        else
            token = token_draw(s.vocabulary, uniform,
                               [&](int64_t id) { return kept_mass(row, x[id], id); });
    }
    const int32_t forced = s.forced ? s.forced[reply_entry(s.at, i)] : -1;
    if (forced >= 0) token = forced;
    const int64_t entry = token_entry(s.at, s.step, i);
    if (s.self_certainty) {
        const float certainty = logits_self_certainty(sums, given, temperature, s.vocabulary);
        if (threadIdx.x == 0) s.self_certainty[entry] = certainty;
    }
    if (threadIdx.x != 0) return;
    s.token[i] = token;
    if (s.token_record) s.token_record[entry] = token;
    if (s.logp) s.logp[entry] = logits_logp(sums, given[token], temperature);
    if (s.token_entropy) s.token_entropy[entry] = logits_entropy(sums);
}

void cuda_sample(struct queue *q, const struct sampling *s)
{
    if (s->rows == 0) return;
    int bits = 0;
    while ((int64_t)1 << bits < s->vocabulary) bits++;
    const float temperature = s->temperature == 0.0f ? 1.0f : s->temperature;
    const float unit = ldexpf(1.0f, 62 - bits);
    const int64_t bytes = 4 * cuda_divide_up(s->vocabulary * (int64_t)sizeof(float), 4);
    if (bytes + own_shared <= cuda_queue_of(q)->block_shared)
        cuda_launch(q, sample_kernel<true>, s->rows, threads, bytes, *s, temperature, unit);
    else
        cuda_launch(q, sample_kernel<false>, s->rows, threads, 0, *s, temperature, unit);
}
