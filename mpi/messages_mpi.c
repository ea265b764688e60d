/* Messages between two ranks over MPI: a prefix, then the bytes in chunks.  What a rank sends to
 * itself never touches MPI: it waits in a list of its own. */
#include "mpi/transport_mpi.h"
#include "src/base/file.h"
#include "src/base/memory.h"

#include <stdlib.h>
#include <string.h>

struct self_message {
    struct self_message *next;
    void *data;
    size_t size;
    int tag;
};

/* Says how much follows.  The bytes answer for themselves; their number is needed before. */
struct prefix {
    uint64_t size;
    uint32_t tag;
    uint32_t checksum; /* CRC32C of size and tag */
};

static uint32_t prefix_checksum(const struct prefix *prefix)
{
    return crc32c(crc32c(0, &prefix->size, sizeof prefix->size), &prefix->tag, sizeof prefix->tag);
}

static void self_add(struct world *world, const void *data, size_t size, int tag)
{
    struct self_message *m = memory_allocate(sizeof *m), **last = &world->groups->self;
    m->data = memory_allocate(size + 1);
    if (size) memcpy(m->data, data, size);
    m->size = size;
    m->tag = tag;
    while (*last) last = &(*last)->next;
    *last = m;
}

static bool self_take(struct world *world, int tag, void **data, size_t *size)
{
    for (struct self_message **at = &world->groups->self; *at; at = &(*at)->next)
        if ((*at)->tag == tag) {
            struct self_message *m = *at;
            *data = m->data;
            *size = m->size;
            *at = m->next;
            free(m);
            return true;
        }
    return false;
}

void transport_self_free(struct world *world)
{
    while (world->groups->self) {
        struct self_message *m = world->groups->self;
        world->groups->self = m->next;
        free(m->data);
        free(m);
    }
}

struct sending {
    struct prefix prefix;
    int count;
    MPI_Request requests[]; /* prefix and chunks */
};

status world_send_begin(struct world *world, const void *data, size_t size, int to, int tag,
                        struct sending **out)
{
    *out = NULL;
    if (to < 0 || to >= world->size)
        FAIL(STATUS_INTERNAL, "message to rank %d of %d", to, world->size);
    if (to == world->rank) {
        self_add(world, data, size, tag);
        return NULL;
    }
    const size_t chunks = (size + TRANSPORT_CHUNK - 1) / TRANSPORT_CHUNK;
    struct sending *sending =
        memory_allocate(sizeof *sending + (chunks + 1) * sizeof *sending->requests);
    *out = sending;
    sending->prefix = (struct prefix){.size = size, .tag = (uint32_t)tag};
    sending->prefix.checksum = prefix_checksum(&sending->prefix);
    MPI_Comm comm = world->groups->messages;
    TRY(transport_check(MPI_Isend(&sending->prefix, sizeof sending->prefix, MPI_BYTE, to, tag, comm,
                                  &sending->requests[sending->count++]),
                        "send"));
    for (size_t begin = 0; begin < size; begin += TRANSPORT_CHUNK) {
        size_t part = size - begin < TRANSPORT_CHUNK ? size - begin : TRANSPORT_CHUNK;
        TRY(transport_check(MPI_Isend((const char *)data + begin, (int)part, MPI_BYTE, to, tag,
                                      comm, &sending->requests[sending->count++]),
                            "send"));
    }
    return NULL;
}

status world_send_finish(struct world *world, struct sending *sending, const char *what)
{
    if (!sending) return NULL;
    TRY(transport_wait_all(world, sending->requests, sending->count, what));
    free(sending);
    return NULL;
}

void transport_progress(const struct world *world)
{
    int there;
    MPI_Iprobe(MPI_ANY_SOURCE, MPI_ANY_TAG, world->groups->messages, &there, MPI_STATUS_IGNORE);
}

/* Waits for a message with the tag to be there and tells its sender. */
static status probe(struct world *world, int tag, const char *what, int *sender)
{
    struct transport_wait wait;
    transport_wait_begin(&wait);
    for (;;) {
        int there = 0;
        MPI_Status about;
        TRY(transport_check(
            MPI_Iprobe(MPI_ANY_SOURCE, tag, world->groups->messages, &there, &about), what));
        if (there) {
            *sender = about.MPI_SOURCE;
            return NULL;
        }
        transport_wait_more(world, &wait, what);
    }
}

static status part_receive(struct world *world, void *data, size_t size, int from, int tag,
                           const char *what)
{
    MPI_Request request;
    TRY(transport_check(
        MPI_Irecv(data, (int)size, MPI_BYTE, from, tag, world->groups->messages, &request), what));
    return status_context(transport_wait_all(world, &request, 1, what), "rank %d", from);
}

status world_receive(struct world *world, int tag, const char *what, void **data, size_t *size,
                     int *sender)
{
    *data = NULL;
    *size = 0;
    *sender = world->rank;
    if (self_take(world, tag, data, size)) return NULL;
    if (world->size == 1)
        FAIL(STATUS_INTERNAL, "rank %d waits for %s from itself and has sent none", world->rank,
             what);
    struct prefix prefix = {0};
    TRY(probe(world, tag, what, sender));
    TRY(part_receive(world, &prefix, sizeof prefix, *sender, tag, what));
    if (prefix.checksum != prefix_checksum(&prefix) || prefix.tag != (uint32_t)tag ||
        prefix.size > (uint64_t)1 << 40)
        FAIL(STATUS_INTERNAL, "rank %d: the prefix of a message (%s) is damaged", *sender, what);
    char *bytes = memory_allocate(prefix.size + 1);
    for (size_t begin = 0; begin < prefix.size; begin += TRANSPORT_CHUNK) {
        size_t left = prefix.size - begin;
        TRY(part_receive(world, bytes + begin, left < TRANSPORT_CHUNK ? left : TRANSPORT_CHUNK,
                         *sender, tag, what));
    }
    *data = bytes;
    *size = prefix.size;
    return NULL;
}
