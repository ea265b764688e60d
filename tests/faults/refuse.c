/* Preloaded into the ranks of a run (tests/program/test_refused.sh): in rank FAULT_RANK the system
 * refuses, by FAULT_WHAT, the thread that answers other actors (thread: the first after its
 * communicator), or memory that the ranks of a host share (memory). */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <mpi.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static bool thread_due;

static bool refuses(const char *thing)
{
    const char *own = getenv("OMPI_COMM_WORLD_RANK"), *rank = getenv("FAULT_RANK");
    const char *what = getenv("FAULT_WHAT");
    return own && rank && what && !strcmp(own, rank) && !strcmp(what, thing);
}

int MPI_Comm_idup(MPI_Comm comm, MPI_Comm *copy, MPI_Request *request)
{
    thread_due = refuses("thread");
    return PMPI_Comm_idup(comm, copy, request);
}

typedef int creates(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);

int pthread_create(pthread_t *thread, const pthread_attr_t *how, void *(*begin)(void *),
                   void *context)
{
    if (!thread_due)
        return ((creates *)dlsym(RTLD_NEXT, "pthread_create"))(thread, how, begin, context);
    thread_due = false;
    return EAGAIN;
}

int posix_fallocate(int file, off_t offset, off_t bytes)
{
    if (refuses("memory")) return ENOSPC;
    return ((int (*)(int, off_t, off_t))dlsym(RTLD_NEXT, "posix_fallocate"))(file, offset, bytes);
}
