/* Sampling one token a row: temperature, then top-k, then top-p over what is left, then the
 * inverse of the cumulative distribution over the kept tokens in ascending order of id.
 * Tokens are ranked by logit, ties by the lower id, so what is kept is known by its last
 * token alone: no list of it is made. */
#include "kernels/cpu/rows.h"
#include "src/base/philox.h"

#include <omp.h>

/* a goes before b: higher logit, or the same and a lower id. */
static inline bool ranks_before(const float *x, int32_t a, int32_t b)
{
    return x[a] > x[b] || (x[a] == x[b] && a < b);
}

/* Sifts heap[0] down; the root is the first of all (`first`) or the last. */
static void heap_sift(const float *x, int32_t *heap, int64_t count, int64_t at, bool first)
{
    for (;;) {
        int64_t child = 2 * at + 1;
        if (child >= count) return;
        if (child + 1 < count && ranks_before(x, heap[child + 1], heap[child]) == first) child++;
        if (ranks_before(x, heap[child], heap[at]) != first) return;
        int32_t swap = heap[at];
        heap[at] = heap[child];
        heap[child] = swap;
        at = child;
    }
}

static void heap_make(const float *x, int32_t *heap, int64_t count, bool first)
{
    for (int64_t i = count / 2 - 1; i >= 0; i--) heap_sift(x, heap, count, i, first);
}

/* The k first tokens, as a heap whose root is the last of them. */
static void top_k_select(const float *x, int64_t vocabulary, int32_t *heap, int64_t k)
{
    for (int64_t i = 0; i < k; i++) heap[i] = (int32_t)i;
    heap_make(x, heap, k, false);
    for (int64_t i = k; i < vocabulary; i++)
        if (x[i] > x[heap[0]]) { /* an equal one has the higher id */
            heap[0] = (int32_t)i;
            heap_sift(x, heap, k, 0, false);
        }
}

/* The last token kept by top-p among heap[count]: the one whose mass crosses p. */
static int32_t top_p_last(const float *x, const float *mass, int32_t *heap, int64_t count,
                          float top_p)
{
    heap_make(x, heap, count, true);
    double total = 0.0, sum = 0.0;
    for (int64_t i = 0; i < count; i++) total += (double)mass[heap[i]];
    for (;;) {
        const int32_t token = heap[0];
        sum += (double)mass[token];
        if (sum >= (double)top_p * total || count == 1) return token;
        heap[0] = heap[--count];
        heap_sift(x, heap, count, 0, true);
    }
}

static int32_t row_largest(const float *x, int64_t vocabulary)
{
    int32_t best = 0;
    for (int64_t i = 1; i < vocabulary; i++)
        if (x[i] > x[best]) best = (int32_t)i;
    return best;
}

static int32_t row_sample(const struct sampling *s, const float *x, const float *mass,
                          int32_t *heap, float uniform)
{
    const int64_t vocabulary = s->vocabulary;
    const bool cut_k = s->top_k > 0 && s->top_k < vocabulary, cut_p = s->top_p < 1.0f;
    const int64_t count = cut_k ? s->top_k : vocabulary;
    int32_t last = -1;
    if (cut_k) {
        top_k_select(x, vocabulary, heap, count);
        last = heap[0];
    } else if (cut_p) {
        for (int64_t i = 0; i < vocabulary; i++) heap[i] = (int32_t)i;
    }
    if (cut_p) last = top_p_last(x, mass, heap, count, s->top_p);
    double total = 0.0;
    for (int64_t i = 0; i < vocabulary; i++)
        if (last < 0 || !ranks_before(x, last, (int32_t)i)) total += (double)mass[i];
    const double aim = (double)uniform * total;
    double sum = 0.0;
    int32_t token = last < 0 ? 0 : last;
    for (int64_t i = 0; i < vocabulary; i++) {
        if ((last >= 0 && ranks_before(x, last, (int32_t)i)) || !(mass[i] > 0.0f)) continue;
        sum += (double)mass[i];
        token = (int32_t)i;
        if (sum > aim) break;
    }
    return token;
}

void cpu_sample(struct queue *q, const struct sampling *s)
{
    const struct row_functions *rows = rows_of(q);
    const int64_t vocabulary = s->vocabulary;
    const bool greedy = s->temperature == 0.0f;
    const float temperature = greedy ? 1.0f : s->temperature;
    const size_t bytes = (size_t)vocabulary * (sizeof(float) + sizeof(int32_t));
#pragma omp parallel num_threads(q->threads) if (s->rows > 1)
    {
        float *mass = greedy ? NULL : cpu_scratch(q, omp_get_thread_num(), bytes);
#pragma omp for schedule(static)
        for (int64_t i = 0; i < s->rows; i++) {
            if (!greedy && !mass) continue;
            const float *x = s->logits + i * vocabulary;
            struct logits_sums sums;
            rows->logits(&sums, x, temperature, vocabulary);
            int32_t token;
            if (greedy) {
                token = row_largest(x, vocabulary);
            } else {
                const uint32_t *own = s->counter + 3 * reply_entry(&s->at, i);
                const uint32_t counter[4] = {own[0], own[1], own[2], (uint32_t)s->step[i]};
                uint32_t random[4];
                philox4x32(counter, s->key, random);
                rows->exponentials(mass, x, temperature, sums.largest, vocabulary);
                token = row_sample(s, x, mass, (int32_t *)(mass + vocabulary),
                                   philox_uniform(random[0]));
            }
            const int32_t forced = s->forced ? s->forced[reply_entry(&s->at, i)] : -1;
            if (forced >= 0) token = forced;
            s->token[i] = token;
            const int64_t entry = token_entry(&s->at, s->step, i);
            if (s->token_record) s->token_record[entry] = token;
            if (s->logp) s->logp[entry] = logits_logp(&sums, x[token], temperature);
            if (s->token_entropy) s->token_entropy[entry] = logits_entropy(&sums);
            if (s->self_certainty)
                s->self_certainty[entry] = logits_self_certainty(&sums, rows->total(x, vocabulary),
                                                                 temperature, vocabulary);
        }
    }
}
