/* transport.h within one process, for one test program: its functions stand in for the ones over
 * MPI.  Every rank is a struct world of one net, driven step by step; what is sent waits in the
 * receiver's queue, and a hook may change, cut or repeat it there.  Nothing there to receive is
 * an error at once, where the real transport would wait until its watchdog. */
#ifndef REGARD_TESTS_TRANSPORT_DOUBLE_H
#define REGARD_TESTS_TRANSPORT_DOUBLE_H

#include "mpi/transport.h"
#include "src/base/memory.h"

#include <stdlib.h>
#include <string.h>

enum { NET_RANKS = 8 };

struct net_message {
    struct net_message *next;
    int from, to, tag; /* tag -1: a broadcast's */
    uint8_t *data;
    size_t size;
};

struct net {
    struct world ranks[NET_RANKS];
    struct net_message *queue[NET_RANKS];
    /* Called with every message after it was put at its queue's end. */
    void (*tamper)(struct net *net, struct net_message *message, void *context);
    void *context;
};

struct world_groups {
    struct net *net;
};

static struct net *net_create(int size, int learners)
{
    struct net *net = memory_allocate(sizeof *net);
    for (int r = 0; r < size; r++) {
        struct world *w = &net->ranks[r];
        *w = (struct world){
            .rank = r, .size = size, .roles = roles_of(r, size, learners), .patience = 1};
        w->groups = memory_allocate(sizeof *w->groups);
        w->groups->net = net;
    }
    return net;
}

static void net_message_free(struct net_message *message)
{
    free(message->data);
    free(message);
}

static void net_destroy(struct net *net)
{
    for (int r = 0; r < NET_RANKS; r++) {
        while (net->queue[r]) {
            struct net_message *message = net->queue[r];
            net->queue[r] = message->next;
            net_message_free(message);
        }
        free(net->ranks[r].groups);
    }
    free(net);
}

/* At the end of its receiver's queue; the hook does not see it. */
static struct net_message *net_append(struct net *net, int from, int to, int tag, const void *data,
                                      size_t size)
{
    struct net_message *message = memory_allocate(sizeof *message), **end = &net->queue[to];
    /* Of the exact size, so that the sanitizer sees a read past it. */
    *message = (struct net_message){.from = from, .to = to, .tag = tag, .size = size};
    message->data = malloc(size ? size : 1);
    if (size) memcpy(message->data, data, size);
    while (*end) end = &(*end)->next;
    *end = message;
    return message;
}

static void net_cut(struct net_message *message, size_t size)
{
    uint8_t *shorter = malloc(size ? size : 1);
    memcpy(shorter, message->data, size);
    free(message->data);
    message->data = shorter;
    message->size = size;
}

static void net_send(struct net *net, int from, int to, int tag, const void *data, size_t size)
{
    struct net_message *message = net_append(net, from, to, tag, data, size);
    if (net->tamper) net->tamper(net, message, net->context);
}

static struct net_message *net_take(struct net *net, int rank, int tag)
{
    for (struct net_message **at = &net->queue[rank]; *at; at = &(*at)->next)
        if ((*at)->tag == tag) {
            struct net_message *message = *at;
            *at = message->next;
            return message;
        }
    return NULL;
}

status world_send_begin(struct world *world, const void *data, size_t size, int to, int tag,
                        struct sending **out)
{
    *out = NULL;
    net_send(world->groups->net, world->rank, to, tag, data, size);
    return NULL;
}

status world_send_finish(struct world *world, struct sending *sending, const char *what)
{
    (void)world, (void)sending, (void)what;
    return NULL;
}

status world_receive(struct world *world, int tag, const char *what, void **data, size_t *size,
                     int *sender)
{
    struct net_message *message = net_take(world->groups->net, world->rank, tag);
    *data = NULL;
    if (!message) FAIL(STATUS_INTERNAL, "nothing came: rank %d waits for %s", world->rank, what);
    *data = message->data;
    *size = message->size;
    *sender = message->from;
    free(message);
    return NULL;
}

/* A shorter one fills only the beginning, as with MPI. */
status actors_broadcast(struct world *world, void *data, size_t size, const char *what)
{
    struct net *net = world->groups->net;
    if (world->rank == 0) {
        for (int r = 1; r < world->size; r++)
            if (net->ranks[r].roles.is_actor) net_send(net, 0, r, -1, data, size);
        return NULL;
    }
    struct net_message *message = net_take(net, world->rank, -1);
    if (!message) FAIL(STATUS_INTERNAL, "nothing came: rank %d waits for %s", world->rank, what);
    memcpy(data, message->data, message->size < size ? message->size : size);
    net_message_free(message);
    return NULL;
}

#endif
