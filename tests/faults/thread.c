/* Preloaded into the ranks of a run (tests/program/test_steal.sh): in rank FAULT_RANK the system
 * refuses the thread that answers other actors, the first after its communicator. */
#include <dlfcn.h>
#include <errno.h>
#include <mpi.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static bool refuses;

int MPI_Comm_idup(MPI_Comm comm, MPI_Comm *copy, MPI_Request *request)
{
    const char *own = getenv("OMPI_COMM_WORLD_RANK"), *rank = getenv("FAULT_RANK");
    refuses = own && rank && strcmp(own, rank) == 0;
    return PMPI_Comm_idup(comm, copy, request);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *how, void *(*begin)(void *),
                   void *context)
{
    int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *) =
        (int (*)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *))dlsym(
            RTLD_NEXT, "pthread_create");
    if (!refuses) return real(thread, how, begin, context);
    refuses = false;
    return EAGAIN;
}
