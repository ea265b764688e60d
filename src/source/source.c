/* The table of sources and the set that a run opens; see source.h. */
#include "src/source/source.h"

#include "src/base/clock.h"
#include "src/base/memory.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SOURCE_DECLARED(name, text) extern const struct source source_##text;
GIVEN_SOURCES(SOURCE_DECLARED)

#define SOURCE_ROW(name, text) [SOURCE_##name] = &source_##text,
static const struct source *const table[SOURCE_COUNT] = {GIVEN_SOURCES(SOURCE_ROW)};

struct opened {
    const struct source *source;
    void *state;
    int64_t column; /* among the terms */
    double milliseconds;
};

struct source_set {
    struct opened list[TERM_MAX];
    int64_t count;
};

status sources_open(const struct source_settings *settings, const struct reward_settings *reward,
                    struct source_set **out)
{
    struct source_set *set = memory_allocate(sizeof *set);
    status s = NULL;
    for (int64_t t = 0; !s && t < reward->term_count; t++) {
        if (!reward_term_given(reward, t)) continue;
        struct opened *one = &set->list[set->count];
        *one = (struct opened){.source = table[reward->terms[t].source], .column = t};
        if (one->source->open) s = one->source->open(settings, &one->state);
        if (!s) set->count++;
    }
    if (s) {
        sources_close(set);
        set = NULL;
    }
    *out = set;
    return s;
}

void sources_close(struct source_set *set)
{
    if (!set) return;
    for (int64_t i = 0; i < set->count; i++)
        if (set->list[i].source->close) set->list[i].source->close(set->list[i].state);
    free(set);
}

int64_t sources_count(const struct source_set *set)
{
    return set ? set->count : 0;
}

unsigned sources_needs(const struct source_set *set)
{
    unsigned needs = 0;
    for (int64_t i = 0; i < sources_count(set); i++) needs |= set->list[i].source->needs;
    return needs;
}

void source_spans_add(struct source_spans *spans, struct source_span span)
{
    if (spans->count == spans->capacity) {
        spans->capacity = spans->capacity ? 2 * spans->capacity : 64;
        spans->list = memory_resize(spans->list, (size_t)spans->capacity * sizeof *spans->list);
    }
    spans->list[spans->count++] = span;
}

static status value_check(const struct source *source, const struct source_reply *reply,
                          double value)
{
    if (isfinite(value)) return NULL;
    FAIL(STATUS_INPUT,
         "the source %s gives dialogue %" PRId64 ", turn %d, candidate %d the reward %g, which is "
         "no number to learn from",
         source->name, reply->key.dialogue, reply->key.turn, reply->key.candidate, value);
}

/* A reply with spans: they cover it, and their sum is its value. */
static status spans_sum(const struct source *source, const struct source_reply *replies,
                        int64_t count, const struct source_spans *spans, double *values)
{
    for (int64_t at = 0, end; at < spans->count; at = end) {
        const int64_t r = spans->list[at].reply;
        if (r < 0 || r >= count)
            FAIL(STATUS_INTERNAL, "the source %s has a span of reply %" PRId64 " of %" PRId64,
                 source->name, r, count);
        int32_t covered = 0;
        values[r] = 0;
        for (end = at; end < spans->count && spans->list[end].reply == r; end++) {
            const struct source_span *span = &spans->list[end];
            if (span->begin != covered || span->end <= span->begin) break;
            TRY(value_check(source, &replies[r], span->value));
            covered = span->end;
            values[r] += span->value;
        }
        if (covered != replies[r].count || (end < spans->count && spans->list[end].reply == r))
            FAIL(STATUS_INPUT,
                 "the source %s gives dialogue %" PRId64
                 ", turn %d, candidate %d spans that do not "
                 "cover its %" PRId64 " tokens, one behind another",
                 source->name, replies[r].key.dialogue, replies[r].key.turn,
                 replies[r].key.candidate, replies[r].count);
    }
    return NULL;
}

static status opened_compute(struct opened *one, const struct source_reply *replies, int64_t count,
                             double (*terms)[TERM_MAX])
{
    double *values = memory_allocate((size_t)count * sizeof *values);
    struct source_spans spans = {0};
    const double start = seconds_now();
    status s = one->source->compute(one->state, replies, count, values, &spans);
    one->milliseconds += 1e3 * (seconds_now() - start);
    if (!s) s = spans_sum(one->source, replies, count, &spans, values);
    for (int64_t i = 0; !s && i < count; i++) {
        s = value_check(one->source, &replies[i], values[i]);
        terms[i][one->column] = values[i];
    }
    free(spans.list);
    free(values);
    return s;
}

status sources_compute(struct source_set *set, const struct source_reply *replies, int64_t count,
                       double (*terms)[TERM_MAX])
{
    if (count < 1) return NULL;
    for (int64_t i = 0; i < sources_count(set); i++)
        TRY(opened_compute(&set->list[i], replies, count, terms));
    return NULL;
}

void sources_take_milliseconds(struct source_set *set, double milliseconds[TERM_MAX])
{
    for (int64_t i = 0; i < sources_count(set); i++) {
        milliseconds[set->list[i].column] += set->list[i].milliseconds;
        set->list[i].milliseconds = 0;
    }
}
