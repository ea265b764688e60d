/* --trace: every rank's spans on rank 0's clock, in RUN/trace.json, which Perfetto
 * (https://ui.perfetto.dev) and Chrome's about:tracing show. */
#ifndef REGARD_MPI_TRACE_FILE_H
#define REGARD_MPI_TRACE_FILE_H

#include "mpi/transport.h"

/* How far this rank's clock is from rank 0's, at a moment of its own. */
struct clock_offset {
    double at, offset; /* seconds: rank 0's clock - this one's */
};

/* By all ranks: some messages there and back, of which the quickest counts; the error is at most
 * half the time that it took. */
status clock_compare(struct world *world, struct clock_offset *out);
/* By all ranks, at the end: the file.  first: of clock_compare when the trace began; the clocks'
 * drift between then and now is taken as even. */
status trace_file_write(struct world *world, const struct clock_offset *first, const char *run);

#endif
