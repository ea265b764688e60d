/* See host_memory.h. */
#include "mpi/host_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/statvfs.h>
#include <unistd.h>

static const char what[] = "the sharing of memory on a host";

/* Maps all of it, or tells the error. */
static int pages_map(int file, size_t bytes, void **out)
{
    void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, file, 0);
    if (at == MAP_FAILED) return errno;
    *out = at;
    return 0;
}

/* posix_fallocate: a full file system is an error here, not a bus error later. */
static int pages_make(const char *name, size_t bytes, void **out)
{
    const int file = shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
    if (file < 0) return errno;
    int error = posix_fallocate(file, 0, (off_t)bytes);
    if (!error) error = pages_map(file, bytes, out);
    close(file);
    return error;
}

static int pages_find(const char *name, size_t bytes, void **out)
{
    const int file = shm_open(name, O_RDWR, 0);
    if (file < 0) return errno;
    const int error = pages_map(file, bytes, out);
    close(file);
    return error;
}

/* The greatest of the ranks' errors. */
static status errors_meet(struct world *world, MPI_Comm host, int *error)
{
    MPI_Request request;
    TRY(transport_check(MPI_Iallreduce(MPI_IN_PLACE, error, 1, MPI_INT, MPI_MAX, host, &request),
                        what));
    return transport_wait_all(world, &request, 1, what);
}

status host_memory_open(struct world *world, MPI_Comm host, size_t bytes, void **out, int *error)
{
    char name[64] = "";
    int rank;
    *out = NULL;
    *error = 0;
    TRY(transport_check(MPI_Comm_rank(host, &rank), what));
    if (rank == 0) {
        snprintf(name, sizeof name, "/regard-%ld-%d", (long)getpid(), world->rank);
        *error = pages_make(name, bytes, out);
    }
    TRY(transport_broadcast(world, host, name, sizeof name, 0, what));
    status s = errors_meet(world, host, error);
    if (!s && !*error && rank) *error = pages_find(name, bytes, out);
    if (!s) s = errors_meet(world, host, error);
    if (rank == 0) shm_unlink(name);
    if ((s || *error) && *out) {
        host_memory_close(*out, bytes);
        *out = NULL;
    }
    return s;
}

int64_t host_memory_free(void)
{
    struct statvfs about;
    return statvfs("/dev/shm", &about) ? 0 : (int64_t)about.f_bavail * (int64_t)about.f_frsize;
}

void host_memory_close(void *memory, size_t bytes)
{
    if (memory) munmap(memory, bytes);
}
