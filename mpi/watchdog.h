/* Who is missing when a wait is over.  A rank that has waited half its patience asks every other
 * rank whether it is there; a rank that waits for something, no matter what, answers at once.  So
 * when the patience is over, the ranks that did not answer are those that are dead, stopped, cut
 * off or busy with something else, and one of the waiting ranks says so for all of them. */
#ifndef REGARD_MPI_WATCHDOG_H
#define REGARD_MPI_WATCHDOG_H

#include "src/base/status.h"

#include <mpi.h>
#include <stdint.h>

struct watchdog;

/* What a rank waits for. */
struct waiting {
    const char *what; /* reads well after "did not come to" and "waits for" */
    int64_t step;
    double patience; /* seconds */
    double since;    /* seconds_now */
};

/* Collective over comm, which it duplicates: learns the hosts' names.  Takes no time from the
 * patience of anyone: MPI's own start bounds it. */
status watchdog_open(MPI_Comm comm, struct watchdog **out);
void watchdog_close(struct watchdog *dog); /* NULL is allowed */
const char *watchdog_host(const struct watchdog *dog, int rank);

/* To be called often while this rank waits: asks and answers.  Once the patience is over an error
 * of code 70 that names the missing ranks and their hosts; it comes within 6 s.  Ranks that leave
 * it to another one wait on meanwhile. */
status watchdog_poll(struct watchdog *dog, const struct waiting *waiting);

#endif
