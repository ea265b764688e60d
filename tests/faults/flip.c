/* Preloaded into the ranks of a run (tests/program/test_guard.sh): flips one bit of a rank's
 * weights in its memory, once.  FAULT_RANK is the rank, and FAULT_WHO says how its weights are
 * found:
 *   actor    in the memory of FAULT_BYTES that it asks for, after they came FAULT_COUNT times
 *   learner  where its FAULT_COUNT-th message of parameters from another learner was written to
 *   own      ... or in the float behind that
 *   lost     no bit: that message is written elsewhere, and the weights stay as they were */
#include <dlfcn.h>
#include <mpi.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static char *came; /* learner: what was received; NULL: nothing yet */
static long seen;
static int flipped;

static int is_me(void)
{
    const char *mine = getenv("OMPI_COMM_WORLD_RANK"), *rank = getenv("FAULT_RANK");
    return !strcmp(mine ? mine : "0", rank ? rank : "");
}

static int who(const char *name)
{
    const char *asked = getenv("FAULT_WHO");
    return asked && !strcmp(asked, name);
}

static int due(void)
{
    const char *count = getenv("FAULT_COUNT");
    return ++seen == (count ? atol(count) : 1);
}

static void flip(void *at)
{
    uint32_t bits;
    memcpy(&bits, at, sizeof bits);
    bits ^= 1u << 12;
    memcpy(at, &bits, sizeof bits);
    flipped = 1;
}

/* Where an actor has its weights, and what they were when the clock was looked at before. */
static char *weights, *before;
static size_t weights_bytes;

void *aligned_alloc(size_t alignment, size_t bytes)
{
    void *(*real)(size_t, size_t) = (void *(*)(size_t, size_t))dlsym(RTLD_NEXT, "aligned_alloc");
    void *memory = real(alignment, bytes);
    const char *wanted = getenv("FAULT_BYTES");
    if (is_me() && who("actor") && wanted && bytes == (size_t)atol(wanted) && !weights) {
        weights = memory;
        weights_bytes = bytes;
        before = calloc(1, bytes);
    }
    return memory;
}

/* After a message the first thing that learners gather: weights are whole then. */
int MPI_Iallgather(const void *data, int count, MPI_Datatype type, void *all, int all_count,
                   MPI_Datatype all_type, MPI_Comm comm, MPI_Request *request)
{
    if (is_me() && came && !flipped && !who("actor")) flip(came);
    return PMPI_Iallgather(data, count, type, all, all_count, all_type, comm, request);
}

int MPI_Irecv(void *data, int count, MPI_Datatype type, int from, int tag, MPI_Comm comm,
              MPI_Request *request)
{
    int size;
    MPI_Type_size(type, &size);
    /* Parameters come in a type of their own (mpi/values_mpi.c), to where they belong. */
    if (is_me() && tag == 1 && type != MPI_FLOAT && (who("learner") || who("own")) && due())
        came = (char *)data + (who("own") ? size * count : 0);
    static char elsewhere[1 << 22];
    if (is_me() && tag == 1 && type != MPI_FLOAT && who("lost") && due()) data = elsewhere;
    return PMPI_Irecv(data, count, type, from, tag, comm, request);
}

/* The program looks at the clock all the time.  Some looks after new weights have come to be used
 * it generates with them. */
int clock_gettime(clockid_t clock, struct timespec *now)
{
    static int (*real)(clockid_t, struct timespec *);
    static int looks; /* since */
    const char *count = getenv("FAULT_COUNT");
    if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    if (weights && !flipped && memcmp(weights, before, weights_bytes) != 0) {
        memcpy(before, weights, weights_bytes);
        looks = 0;
        seen++;
    } else if (weights && !flipped && count && seen == atol(count) && ++looks == 3)
        flip(weights);
    return real(clock, now);
}
