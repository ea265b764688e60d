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
    bool cuts;      /* it weighs: its spans cut replies, those of a weight of 0 are added up */
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
        *one = (struct opened){.source = table[reward->terms[t].source],
                               .column = t,
                               .cuts = reward->terms[t].weight != 0};
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

status sources_check(const struct source_set *set, const struct dataset *data)
{
    for (int64_t i = 0; i < sources_count(set); i++) {
        const struct opened *one = &set->list[i];
        for (int64_t d = 0; one->source->check && d < data->count; d++)
            TRY(status_context(one->source->check(one->state, &data->dialogues[d]), "%s:%" PRId64,
                               data->path, data->dialogues[d].line));
    }
    return NULL;
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

/* A reply's spans cover it, one behind another; *end: past the last of them. */
static status spans_check(const struct source *source, const struct source_reply *reply,
                          const struct source_spans *spans, int64_t begin, int64_t *end)
{
    const int64_t of = spans->list[begin].reply;
    int32_t covered = 0;
    bool ordered = true;
    for (*end = begin; *end < spans->count && spans->list[*end].reply == of; ++*end) {
        const struct source_span *span = &spans->list[*end];
        ordered &= span->begin == covered && span->end > span->begin;
        covered = span->end;
        TRY(value_check(source, reply, span->value));
    }
    if (ordered && covered == reply->count) return NULL;
    FAIL(STATUS_INPUT,
         "the source %s gives dialogue %" PRId64 ", turn %d, candidate %d spans that do not cover "
         "its %" PRId64 " tokens, one behind another",
         source->name, reply->key.dialogue, reply->key.turn, reply->key.candidate, reply->count);
}

/* The cut of a reply by `count` spans, or that they cut it as another source did. */
static status reply_cut(const struct source *source, const struct source_reply *reply,
                        const struct source_span *spans, int32_t count, struct given_spans *cut)
{
    bool same = !cut->list || cut->count == count;
    for (int32_t i = 0; cut->list && same && i < count; i++)
        same = cut->list[i].end == spans[i].end;
    if (!same)
        FAIL(STATUS_INPUT,
             "the sources %s and %s cut the reply of dialogue %" PRId64
             ", turn %d, candidate %d differently",
             cut->by, source->name, reply->key.dialogue, reply->key.turn, reply->key.candidate);
    if (cut->list) return NULL;
    *cut = (struct given_spans){memory_allocate((size_t)count * sizeof *cut->list), count,
                                source->name};
    for (int32_t i = 0; i < count; i++) {
        cut->list[i].begin = spans[i].begin;
        cut->list[i].end = spans[i].end;
    }
    return NULL;
}

/* Values of the replies with spans, and their cuts. */
static status spans_take(const struct source *source, int64_t column,
                         const struct source_reply *replies, int64_t count,
                         const struct source_spans *spans, double *values, struct given_spans *cuts)
{
    for (int64_t at = 0, end; at < spans->count; at = end) {
        const struct source_span *list = &spans->list[at];
        const int64_t r = list->reply;
        if (r < 0 || r >= count)
            FAIL(STATUS_INTERNAL, "the source %s has a span of reply %" PRId64 " of %" PRId64,
                 source->name, r, count);
        TRY(spans_check(source, &replies[r], spans, at, &end));
        if (cuts) TRY(reply_cut(source, &replies[r], list, (int32_t)(end - at), &cuts[r]));
        values[r] = 0;
        for (int64_t i = 0; i < end - at; i++) {
            values[r] += list[i].value;
            if (cuts) cuts[r].list[i].terms[column] = list[i].value;
        }
    }
    return NULL;
}

status source_ask(const struct source *source, void *state, int64_t column,
                  const struct source_reply *replies, int64_t count, double (*terms)[TERM_MAX],
                  struct given_spans *cuts)
{
    double *values = memory_allocate(((size_t)count + 1) * sizeof *values);
    struct source_spans spans = {0};
    status s = source->compute(state, replies, count, values, &spans);
    if (!s) s = spans_take(source, column, replies, count, &spans, values, cuts);
    for (int64_t i = 0; !s && i < count; i++) {
        s = value_check(source, &replies[i], values[i]);
        terms[i][column] = values[i];
    }
    free(spans.list);
    free(values);
    return s;
}

/* In a reply that others cut, a source's value of the whole reply stands in the last span. */
static void whole_values_place(const struct source_set *set, int64_t count,
                               double (*terms)[TERM_MAX], struct given_spans *cuts)
{
    for (int64_t i = 0; i < count; i++)
        for (int64_t k = 0; cuts[i].list && k < set->count; k++) {
            const int64_t column = set->list[k].column;
            bool any = false;
            for (int32_t n = 0; n < cuts[i].count; n++) any |= cuts[i].list[n].terms[column] != 0;
            if (!any) cuts[i].list[cuts[i].count - 1].terms[column] = terms[i][column];
        }
}

status sources_compute(struct source_set *set, const struct source_reply *replies, int64_t count,
                       double (*terms)[TERM_MAX], struct given_spans *cuts)
{
    if (!set || count < 1) return NULL;
    for (int64_t i = 0; i < set->count; i++) {
        struct opened *one = &set->list[i];
        const double start = seconds_now();
        TRY(source_ask(one->source, one->state, one->column, replies, count, terms,
                       one->cuts ? cuts : NULL));
        one->milliseconds += 1e3 * (seconds_now() - start);
    }
    if (cuts) whole_values_place(set, count, terms, cuts);
    return NULL;
}

void sources_take_milliseconds(struct source_set *set, double milliseconds[TERM_MAX])
{
    for (int64_t i = 0; i < sources_count(set); i++) {
        milliseconds[set->list[i].column] += set->list[i].milliseconds;
        set->list[i].milliseconds = 0;
    }
}
