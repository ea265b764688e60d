/* Experience messages over the transport. */
#include "mpi/experience.h"

#include "src/base/memory.h"
#include "src/base/timeline.h"
#include "src/base/traffic.h"

#include <stdio.h>
#include <stdlib.h>

status experience_receive(struct world *world, const struct experience_format *format,
                          struct experience **out, int *sender)
{
    void *message;
    size_t size;
    *out = NULL;
    timeline_begin(TIME_WAIT_EXPERIENCE);
    status s =
        world_receive(world, EXPERIENCE_TAG, "the exchange of experience", &message, &size, sender);
    if (!s && *sender != world->rank) traffic_add(TRAFFIC_EXPERIENCE, (int64_t)size);
    timeline_end();
    TRY(s);
    char name[32];
    snprintf(name, sizeof name, "rank %d", *sender);
    s = experience_unpack(message, size, format, name, out);
    free(message);
    return s;
}

struct experience_outbox {
    struct world *world;
    struct outgoing {
        struct sending *sending;
        void *message;
    } * list;
    int64_t count, capacity;
};

struct experience_outbox *experience_outbox_create(struct world *world)
{
    struct experience_outbox *outbox = memory_allocate(sizeof *outbox);
    outbox->world = world;
    return outbox;
}

static status outbox_send(struct experience_outbox *outbox, const struct experience *experience,
                          int to)
{
    if (outbox->count == outbox->capacity) {
        outbox->capacity = outbox->capacity ? 2 * outbox->capacity : 16;
        outbox->list = memory_resize(outbox->list, (size_t)outbox->capacity * sizeof *outbox->list);
    }
    struct outgoing *one = &outbox->list[outbox->count];
    size_t size;
    TRY(experience_pack(experience, &one->message, &size));
    outbox->count++;
    return world_send_begin(outbox->world, one->message, size, to, EXPERIENCE_TAG, &one->sending);
}

status experience_outbox_add(struct experience_outbox *outbox, const struct experience *experience,
                             int to)
{
    timeline_begin(TIME_SEND);
    status s = outbox_send(outbox, experience, to);
    timeline_end();
    return s;
}

static status outbox_wait(struct experience_outbox *outbox)
{
    for (; outbox->count; outbox->count--) {
        struct outgoing *one = &outbox->list[outbox->count - 1];
        TRY(world_send_finish(outbox->world, one->sending, "the exchange of experience"));
        free(one->message);
    }
    return NULL;
}

status experience_outbox_finish(struct experience_outbox *outbox)
{
    timeline_begin(TIME_SEND);
    status s = outbox_wait(outbox);
    timeline_end();
    return s;
}

void experience_outbox_destroy(struct experience_outbox *outbox)
{
    if (!outbox) return;
    /* After an error messages may still be under way: their memory stays. */
    free(outbox->list);
    free(outbox);
}
