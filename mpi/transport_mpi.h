/* What mpi/'s own files share: communicators, waiting, sends that go on. */
#ifndef REGARD_MPI_TRANSPORT_MPI_H
#define REGARD_MPI_TRANSPORT_MPI_H

#include "mpi/transport.h"

#include <mpi.h>
#include <time.h>

struct self_message;

struct world_groups {
    MPI_Comm world;             /* collectives */
    MPI_Comm messages;          /* world_send and world_receive */
    MPI_Comm learners, weights; /* MPI_COMM_NULL on ranks outside */
    struct self_message *self;  /* from this rank to itself, oldest first */
};

status transport_check(int code, const char *what);

struct transport_wait {
    struct timespec since;
    int64_t tests;
    long sleep_us;
};
void transport_wait_begin(struct transport_wait *wait);
/* After a test that said "not yet": sleeps, or fails once the watchdog's time is over. */
status transport_wait_more(const struct world *world, struct transport_wait *wait,
                           const char *what);
status transport_wait_all(const struct world *world, MPI_Request *requests, int count,
                          const char *what);

status transport_broadcast(struct world *world, MPI_Comm comm, void *data, size_t size, int root,
                           const char *what);

/* A message on its way; data must stay until the requests are done. */
struct transport_send {
    MPI_Request *requests;
    int count;
    uint64_t *size;
};
status transport_send_begin(struct world *world, struct transport_send *send, const void *data,
                            size_t size, int to, int tag);
void transport_send_release(struct transport_send *send);

#endif
