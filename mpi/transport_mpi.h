/* What the files behind transport.h share: communicators and waiting. */
#ifndef REGARD_MPI_TRANSPORT_MPI_H
#define REGARD_MPI_TRANSPORT_MPI_H

#include "mpi/transport.h"
#include "mpi/watchdog.h"

#include <mpi.h>

enum { TRANSPORT_CHUNK = 1 << 30 }; /* bytes that one MPI call carries at most */

struct self_message;
struct gpu_group;

struct world_groups {
    MPI_Comm world;             /* collectives */
    MPI_Comm messages;          /* world_send_begin and world_receive */
    MPI_Comm learners, weights; /* MPI_COMM_NULL on ranks outside */
    struct self_message *self;  /* from this rank to itself, oldest first */
    struct watchdog *watchdog;
    /* How world_break gives up what GPUs exchange by themselves; give_up NULL: they do not. */
    struct gpu_link {
        void (*give_up)(struct gpu_group *group);
        struct gpu_group *group;
    } gpus[2];
    bool broken; /* world_break */
};

status transport_check(int code, const char *what);

/* Waiting: begin, and after every test that said "not yet" more, which sleeps.  The watchdog ends a
 * wait that is in vain, and all ranks with it. */
struct transport_wait {
    double begun; /* seconds_now */
};
void transport_wait_begin(struct transport_wait *wait);
void transport_wait_more(const struct world *world, struct transport_wait *wait, const char *what);
status transport_wait_all(const struct world *world, MPI_Request *requests, int count,
                          const char *what);

/* The same of one request that all ranks of its group must come to. */
status transport_wait_slowest(const struct world *world, MPI_Request *request, const char *what);

status transport_broadcast(struct world *world, MPI_Comm comm, void *data, size_t size, int root,
                           const char *what);
void transport_self_free(struct world *world);

/* Learner 0 and the actors, host by host: the ranks of this host, of which the lowest is its head;
 * the heads of all hosts, of which learner 0 is the first. */
struct transport_hosts {
    MPI_Comm host, heads; /* heads: MPI_COMM_NULL on other ranks */
    int rank, size;       /* in `host` */
    int hosts;            /* on a head */
};
/* Collective over them.  host: the number of this rank's, -1: as MPI finds them. */
status transport_hosts(struct world *world, int host, struct transport_hosts *out);
void transport_hosts_free(struct transport_hosts *hosts);

#endif
