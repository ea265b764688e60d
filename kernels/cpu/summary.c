/* The attention summary of captured rows (docs/reward.md, Terms): restriction to V, the shuffle
 * control, entropy, entropy floor, salient mass, mass a turn, top positions.  In float64 and in
 * ascending order of positions; a row depends on itself alone.  And the sum of a reply's rows. */
#include "kernels/cpu/cpu.h"
#include "src/base/philox.h"

#include <math.h>
#include <omp.h>

static double entropy_of(const double *a, int64_t count, double keep, double uniform)
{
    double sum = 0.0;
    for (int64_t i = 0; i < count; i++) {
        const double x = keep * a[i] + uniform;
        if (x > 0.0) sum -= x * log(x);
    }
    return sum;
}

/* The smallest w, to 1e-9, for which (1-w) a + w uniform has entropy delta: the entropy rises
 * with w. */
static double mix_weight(const double *a, int64_t count, double delta)
{
    double low = 0.0, high = 1.0;
    while (high - low > 1e-9) {
        const double w = 0.5 * (low + high);
        if (entropy_of(a, count, 1.0 - w, w / (double)count) < delta)
            low = w;
        else
            high = w;
    }
    return high;
}

/* Fisher-Yates from the last down.  Word i of the row's stream is word i mod 4 of Philox with
 * the row's counter and the key (key[0], key[1] + 256 floor(i / 4)); purposes are below 256. */
static void weights_shuffle(double *a, int64_t count, const uint32_t key[2],
                            const uint32_t counter[4])
{
    uint32_t random[4] = {0};
    for (int64_t i = 0; i + 1 < count; i++) {
        const int64_t left = count - i;
        if (i % 4 == 0) {
            const uint32_t block[2] = {key[0], key[1] + 256u * (uint32_t)(i / 4)};
            philox4x32(counter, block, random);
        }
        const int64_t pick = (int64_t)(((uint64_t)random[i % 4] * (uint64_t)left) >> 32);
        const double swap = a[left - 1];
        a[left - 1] = a[pick];
        a[pick] = swap;
    }
}

/* Highest weight first; among equals the lower position. */
static void row_top(int32_t *position, float *weight, int64_t top, const double *a,
                    const int32_t *where, int64_t count)
{
    int64_t held = 0;
    for (int64_t i = 0; i < count; i++) {
        const float x = (float)a[i];
        if (held == top && (top == 0 || !(x > weight[top - 1]))) continue;
        int64_t at = held < top ? held++ : top - 1;
        for (; at > 0 && x > weight[at - 1]; at--) {
            weight[at] = weight[at - 1];
            position[at] = position[at - 1];
        }
        weight[at] = x;
        position[at] = where[i];
    }
    for (int64_t i = held; i < top; i++) {
        position[i] = -1;
        weight[i] = 0.0f;
    }
}

/* Where the row's weight lies, whatever V is: on the history's first token, its other special
 * tokens, the rest of it, the reply so far. */
static void row_masses(const struct attention_summary *s, int64_t row)
{
    const int64_t begin = s->key_begin[s->history_of_row[row]];
    const int64_t keys = s->key_end[s->history_of_row[row]] - begin;
    const int64_t entry = token_entry(&s->at, s->step, row);
    const float *captured = s->capture + row * s->capture_stride;
    const double weight = (double)s->weight;
    double special = 0.0, history = 0.0, reply = 0.0;
    for (int64_t j = 1; j < keys; j++)
        *(s->special[begin + j] ? &special : &history) += (double)captured[j] * weight;
    for (int64_t j = keys; j < keys + s->step[row]; j++) reply += (double)captured[j] * weight;
    s->special_mass[entry] = (float)special;
    if (s->first_mass) s->first_mass[entry] = keys ? (float)((double)captured[0] * weight) : 0.0f;
    if (s->history_mass) s->history_mass[entry] = (float)history;
    if (s->reply_mass) s->reply_mass[entry] = (float)reply;
}

/* a [|V|] and where [|V|] (positions in the history) are working space.  The masses of turns
 * and the top positions are of the row before the floor. */
static void row_summary(const struct attention_summary *s, int64_t row, double *a, int32_t *where)
{
    const int64_t begin = s->key_begin[s->history_of_row[row]];
    const int64_t keys = s->key_end[s->history_of_row[row]] - begin;
    const int64_t reply = reply_entry(&s->at, row), entry = token_entry(&s->at, s->step, row);
    const float *captured = s->capture + row * s->capture_stride;
    double special = 0.0, sum = 0.0;
    int64_t count = 0;
    for (int64_t j = 0; j < keys; j++) {
        const double x = (double)captured[j] * (double)s->weight;
        if (s->visible[begin + j]) {
            where[count] = (int32_t)j;
            a[count++] = x;
            sum += x;
        } else {
            special += x;
        }
    }
    for (int64_t i = 0; i < count; i++) a[i] = sum == 0.0 ? 1.0 / (double)count : a[i] / sum;
    if (s->shuffle) {
        const uint32_t *own = s->counter + 3 * reply;
        const uint32_t counter[4] = {own[0], own[1], own[2], (uint32_t)s->step[row]};
        weights_shuffle(a, count, s->key, counter);
    }
    for (int64_t t = 0; s->turn_mass && t < s->turns; t++) {
        double mass = 0.0;
        for (int64_t i = 0; i < count; i++)
            if (s->turn[begin + where[i]] == t) mass += a[i];
        s->turn_mass[entry * s->turns + t] = (float)mass;
    }
    if (s->slot_mass) {
        double mass = 0.0;
        for (int64_t i = 0; i < count; i++)
            if (s->slots[begin + where[i]]) mass += a[i];
        s->slot_mass[entry] = (float)mass;
    }
    if (s->top_position)
        row_top(s->top_position + entry * s->top, s->top_weight + entry * s->top, s->top, a, where,
                count);
    const double entropy = entropy_of(a, count, 1.0, 0.0);
    /* A floor of log|V| came rounded to float.  Entropy is flat there: one rounded down would
     * move the mixed row by its root, 1e-4. */
    double delta = (double)s->floor_delta[reply];
    if (count > 0 && delta >= (double)(float)log((double)count)) delta = log((double)count);
    double floored = entropy, keep = 1.0, uniform = 0.0;
    if (count > 0 && entropy < delta && s->floor == ROW_FLOOR_VALUE) floored = delta;
    if (count > 0 && entropy < delta && s->floor == ROW_FLOOR_MIX) {
        const double w = mix_weight(a, count, delta);
        keep = 1.0 - w;
        uniform = w / (double)count;
        floored = entropy_of(a, count, keep, uniform);
    }
    double salient = 0.0;
    for (int64_t i = 0; i < count; i++)
        if (s->salient[begin + where[i]]) salient += keep * a[i] + uniform;
    s->entropy[entry] = (float)entropy;
    s->entropy_floored[entry] = (float)floored;
    s->salient_mass[entry] = (float)salient;
    s->special_mass[entry] = (float)special;
    if (s->special) row_masses(s, row);
}

void cpu_attention_summary(struct queue *q, const struct attention_summary *s)
{
    int64_t longest = 1;
    for (int64_t i = 0; i < s->rows; i++) {
        const int32_t history = s->history_of_row[i];
        const int64_t keys = s->key_end[history] - s->key_begin[history];
        if (keys > longest) longest = keys;
    }
    const size_t bytes = (size_t)longest * (sizeof(double) + sizeof(int32_t));
#pragma omp parallel num_threads(q->threads)
    {
        double *a = cpu_scratch(q, omp_get_thread_num(), bytes);
#pragma omp for schedule(static)
        for (int64_t i = 0; i < s->rows; i++)
            if (a) row_summary(s, i, a, (int32_t *)(a + longest));
    }
}

void cpu_attention_received(struct queue *q, const struct attention_received *a)
{
#pragma omp parallel for num_threads(q->threads) schedule(static)
    for (int64_t i = 0; i < a->rows; i++) {
        const int32_t history = a->history_of_row[i], reply = a->reply[i];
        const int64_t keys = a->key_end[history] - a->key_begin[history];
        const float *captured = a->capture + i * a->capture_stride;
        float *sum = a->sum + reply * a->stride;
        if (a->ended[reply]) continue;
        for (int64_t j = 0; j < keys; j++) {
            const float share = captured[j] * a->weight; /* rounded, as on CUDA */
            sum[j] += share;
        }
        for (int64_t e = 0; e < a->ends; e++)
            if (a->token[i] == a->end[e]) a->ended[reply] = 1;
    }
}
