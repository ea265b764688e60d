/* Preloaded into the ranks of a run (tests/faults/matrix): messages leave late, and of those that
 * have come a random one is found first, so that experience arrives in another order each time.
 * FAULT_SEED chooses the orders; FAULT_LOG, where set, is a file that receives a line for every
 * message: "RANK sent RECEIVER" or "RANK found SENDER". */
#include <mpi.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { RANKS_MOST = 64, LATE_MOST_US = 20000 };

/* SplitMix64 of seed, rank and the number of the draw. */
static uint64_t draw(int rank)
{
    static uint64_t number;
    const char *seed = getenv("FAULT_SEED");
    uint64_t x = (seed ? strtoull(seed, NULL, 10) : 0) * 1000003u + (uint64_t)rank * 7919u;
    x += ++number * 0x9E3779B97F4A7C15u;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    return x ^ (x >> 31);
}

static void be_late(int rank)
{
    struct timespec pause = {0, (long)(draw(rank) % LATE_MOST_US) * 1000};
    nanosleep(&pause, NULL);
}

static void note(int rank, const char *what, int other)
{
    const char *log = getenv("FAULT_LOG");
    FILE *stream = log && *log ? fopen(log, "a") : NULL;
    if (!stream) return;
    fprintf(stream, "%d %s %d\n", rank, what, other);
    fclose(stream);
}

int MPI_Isend(const void *data, int count, MPI_Datatype type, int to, int tag, MPI_Comm comm,
              MPI_Request *request)
{
    int rank;
    MPI_Comm_rank(comm, &rank);
    be_late(rank);
    note(rank, "sent", to);
    return PMPI_Isend(data, count, type, to, tag, comm, request);
}

int MPI_Iprobe(int from, int tag, MPI_Comm comm, int *there, MPI_Status *about)
{
    int code = PMPI_Iprobe(from, tag, comm, there, about);
    if (from != MPI_ANY_SOURCE || code != MPI_SUCCESS || !*there) return code;
    int rank, size;
    MPI_Comm_rank(comm, &rank);
    MPI_Comm_size(comm, &size);
    be_late(rank); /* others come meanwhile */
    const int first = (int)(draw(rank) % (uint64_t)size);
    for (int i = 0; i < size; i++) {
        code = PMPI_Iprobe((first + i) % size, tag, comm, there, about);
        if (code != MPI_SUCCESS || *there) break;
    }
    if (*there) note(rank, "found", about->MPI_SOURCE);
    return code;
}
