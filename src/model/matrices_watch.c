/* See matrices_watch.h. */
#include "src/model/matrices_watch.h"

#include "src/base/memory.h"
#include "src/model/fingerprint.h"
#include "src/model/model_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A matrix and the floats [begin, end) of `of` that it was packed from. */
struct matrix {
    const struct packed_matrix *packed;
    const struct parameters *of;
    int64_t begin, end;
};

struct matrices_watch {
    struct queue *queue;
    struct matrix *list;
    int64_t count;
    uint64_t *sums;         /* device, [count] */
    uint64_t *hashes, *now; /* [count] */
    bool known;             /* hashes were taken */
};

static void add(struct matrices_watch *watch, struct matrix matrix)
{
    watch->list = memory_resize(watch->list, (size_t)(watch->count + 1) * sizeof *watch->list);
    watch->list[watch->count++] = matrix;
}

static void adapter_add(struct matrices_watch *watch, const struct adapter *adapter,
                        const struct parameters *of)
{
    int64_t rows = 0;
    for (int64_t i = 0; i < adapter->parts; i++) rows += adapter->part[i].rows;
    const int64_t a = adapter->a, b = adapter->b;
    add(watch,
        (struct matrix){adapter->down, of, a, a + adapter->parts * adapter->rank * adapter->k});
    add(watch, (struct matrix){adapter->up, of, b, b + rows * adapter->rank});
}

status matrices_watch_open(const struct model *model, struct matrices_watch **out)
{
    struct matrices_watch *watch = *out = memory_allocate(sizeof *watch);
    watch->queue = model->queue;
    for (int64_t i = 0; i < model->linear_count; i++) {
        const struct linear *w = model->linears[i];
        const int64_t begin = w->offset, end = begin + w->n * w->k;
        if (!w->frozen) add(watch, (struct matrix){w->packed, &model->parameters, begin, end});
    }
    for (int64_t i = 0; i < model->adapter_count; i++)
        adapter_add(watch, &model->adapters[i], &model->trained);
    const size_t bytes = (size_t)watch->count * sizeof *watch->sums;
    watch->hashes = memory_allocate(bytes);
    watch->now = memory_allocate(bytes);
    return watch->queue->op->allocate(watch->queue, MEMORY_OPTIMIZER, bytes, (void **)&watch->sums);
}

void matrices_watch_close(struct matrices_watch *watch)
{
    if (!watch) return;
    if (watch->sums) watch->queue->op->release(watch->queue, watch->sums);
    free(watch->list);
    free(watch->hashes);
    free(watch->now);
    free(watch);
}

static status hashes_make(const struct matrices_watch *watch, uint64_t *hashes)
{
    struct queue *q = watch->queue;
    for (int64_t i = 0; i < watch->count; i++)
        q->op->matrix_hash(q, watch->sums + i, watch->list[i].packed);
    q->op->download(q, hashes, watch->sums, (size_t)watch->count * sizeof *hashes);
    return q->op->synchronize(q);
}

status matrices_watch_take(struct matrices_watch *watch)
{
    if (!watch) return NULL;
    TRY(hashes_make(watch, watch->hashes));
    watch->known = true;
    return NULL;
}

/* Of the parameter that holds this float. */
static const char *name_at(const struct parameters *p, int64_t at)
{
    for (int64_t i = 0; i < p->count; i++)
        if (p->list[i].offset <= at && at < p->list[i].offset + p->list[i].count)
            return p->list[i].name;
    return "?";
}

static status changed(const struct matrices_watch *watch, int64_t i, const char *who,
                      const char *whose)
{
    const struct matrix *m = &watch->list[i];
    const char *first = name_at(m->of, m->begin), *last = name_at(m->of, m->end - 1);
    const bool one = first == last;
    char was[17], is[17];
    fingerprint_text(watch->hashes[i], was);
    fingerprint_text(watch->now[i], is);
    FAIL(STATUS_INTERNAL,
         "%s: the %s's packed matrix of %s%s%s changed in memory though nothing wrote it (hash %s, "
         "then %s; guard.replica_check): broken memory? --resume goes on from the newest "
         "checkpoint, which does not have it",
         who, whose, first, one ? "" : " to ", one ? "" : last, was, is);
}

status matrices_watch_check(struct matrices_watch *watch, const char *who, const char *whose)
{
    if (!watch) return NULL;
    if (!watch->known) return matrices_watch_take(watch);
    TRY(hashes_make(watch, watch->now));
    for (int64_t i = 0; i < watch->count; i++)
        if (watch->now[i] != watch->hashes[i]) return changed(watch, i, who, whose);
    return NULL;
}
