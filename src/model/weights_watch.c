#include "src/model/weights_watch.h"

#include <assert.h>

status weights_watch_open(struct queue *queue, bool on, struct weights_watch *out)
{
    *out = (struct weights_watch){.on = on};
    return fingerprint_open(queue, &out->fingerprint);
}

void weights_watch_close(struct weights_watch *watch)
{
    fingerprint_close(watch->fingerprint);
    *watch = (struct weights_watch){.count = 0};
}

int weights_watch_add(struct weights_watch *watch, const char *name, const float *values,
                      int64_t size)
{
    assert(watch->count < WATCHED_MAX);
    watch->list[watch->count] = (struct watched){.name = name, .values = values, .size = size};
    return watch->count++;
}

status weights_watch_take(struct weights_watch *watch, int place)
{
    struct watched *one = &watch->list[place];
    if (!watch->on) return NULL;
    TRY(fingerprint_of(watch->fingerprint, one->values, 0, one->size, &one->hash));
    one->known = true;
    return NULL;
}

status weights_watch_check(struct weights_watch *watch, int place)
{
    const struct watched *one = &watch->list[place];
    char was[17], is[17];
    uint64_t now;
    if (!watch->on || !one->known) return NULL;
    TRY(fingerprint_of(watch->fingerprint, one->values, 0, one->size, &now));
    if (now == one->hash) return NULL;
    fingerprint_text(one->hash, was);
    fingerprint_text(now, is);
    FAIL(STATUS_INTERNAL,
         "%s%sthe weights of the %s changed in memory though nothing wrote them (hash %s, then %s; "
         "guard.replica_check): broken memory? --resume goes on from the newest checkpoint, "
         "which does not have them",
         watch->who ? watch->who : "", watch->who ? ": " : "", one->name, was, is);
}

status weights_watch_begin(struct weights_watch *watch)
{
    for (int i = 0; i < watch->count; i++)
        if (!watch->list[i].known) TRY(weights_watch_take(watch, i));
    return NULL;
}

status weights_watch_check_all(struct weights_watch *watch)
{
    for (int i = 0; i < watch->count; i++) TRY(weights_watch_check(watch, i));
    return NULL;
}
