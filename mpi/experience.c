/* Experience messages over the transport. */
#include "mpi/experience.h"

#include "mpi/transport_mpi.h"
#include "src/base/arena.h"

#include <stdio.h>
#include <stdlib.h>

enum { EXPERIENCE_TAG = 1001 };

int experience_owner(const struct world *world, int64_t index, int64_t dialogues)
{
    return (int)(index * world->learners / dialogues);
}

status experience_send(struct world *world, const struct experience *experience, int to)
{
    void *message;
    size_t size;
    TRY(experience_pack(experience, &message, &size));
    status s = world_send(world, message, size, to, EXPERIENCE_TAG, "experience to a learner");
    free(message);
    return s;
}

status experience_receive(struct world *world, struct experience **out)
{
    void *message;
    size_t size;
    int sender;
    *out = NULL;
    TRY(world_receive(world, -1, EXPERIENCE_TAG, "experience from an actor", &message, &size,
                      &sender));
    char name[32];
    snprintf(name, sizeof name, "rank %d", sender);
    status s = experience_unpack(message, size, name, out);
    free(message);
    return s;
}

struct experience_outbox {
    struct world *world;
    struct outgoing {
        struct transport_send send;
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

status experience_outbox_add(struct experience_outbox *outbox, const struct experience *experience,
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
    return transport_send_begin(outbox->world, &one->send, one->message, size, to, EXPERIENCE_TAG);
}

status experience_outbox_finish(struct experience_outbox *outbox)
{
    for (; outbox->count; outbox->count--) {
        struct outgoing *one = &outbox->list[outbox->count - 1];
        if (one->send.count)
            TRY(transport_wait_all(outbox->world, one->send.requests, one->send.count,
                                   "experience to a learner"));
        transport_send_release(&one->send);
        free(one->message);
    }
    return NULL;
}

void experience_outbox_destroy(struct experience_outbox *outbox)
{
    if (!outbox) return;
    /* After an error messages may still be under way: MPI keeps their memory. */
    free(outbox->list);
    free(outbox);
}
