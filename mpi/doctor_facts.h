/* What a rank can say of itself and its host, in plain bytes that travel. */
#ifndef REGARD_MPI_DOCTOR_FACTS_H
#define REGARD_MPI_DOCTOR_FACTS_H

#include "mpi/transport.h"
#include "src/base/config.h"

enum { DOCTOR_CORES = 1024 };

struct doctor_facts {
    char host[64], program[72], version[128], mpi[LIBRARY_VERSION_TEXT];
    int64_t cores;                    /* online on the host */
    int64_t bound;                    /* that this rank may run on */
    unsigned char mask[DOCTOR_CORES]; /* which */
    int64_t threads;                  /* that it will run */
    int64_t omp_threads;              /* OMP_NUM_THREADS; 0: not set */
    int64_t quota_percent;            /* of a core, by the control group; -1: no limit */
    int64_t memory, available, limit; /* bytes: of the host, free there, of the group (-1: none) */
    int64_t memlock, files, stack;    /* limits; -1: none */
    int64_t shared, shared_free;      /* bytes of /dev/shm */
    int64_t weights;       /* bytes there of those on their way to actors; 0: not known */
    int64_t infiniband;    /* devices */
    int64_t thread_level;  /* of MPI */
    int64_t watched;       /* the watchdog has a thread, or there is but one rank */
    int64_t reads_devices; /* MPI takes GPU memory */
    int64_t driver, gpu;   /* NVIDIA's is there; this rank computes on a GPU */
    char device[96];       /* its name then */
    int64_t nccl;
};

/* Bytes of this host's memory, free ones, and what the control group allows (-1: all). */
void doctor_memory(int64_t *memory, int64_t *available, int64_t *limit);
/* Of this rank.  gpus: look for them too, which takes a moment. */
status doctor_facts_read(const struct world *world, const struct config *config, bool gpus,
                         struct doctor_facts *facts);
/* Everyone's, in the order of ranks; the caller frees *all.  Collective. */
status doctor_facts_gather(struct world *world, const struct doctor_facts *mine,
                           struct doctor_facts **all);

#endif
