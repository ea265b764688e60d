/* See host_messages.h.  Parameters are set by Open MPI's environment variables, which other MPIs do
 * not read; `vader` is the transport within a host of version 4, `sm` of version 5. */
#include "mpi/host_messages.h"

#include <stdint.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static bool single_copy;

/* Open MPI itself does not find out: a container's filter of system calls refuses the first large
 * message, and that ends the run.  A child's memory, since a process may always read its own. */
static bool processes_readable(void)
{
    static const char there[] = "there";
    char here[sizeof there] = "", byte;
    int ends[2];
    if (pipe(ends)) return false;
    const pid_t child = fork();
    if (child == 0) {
        close(ends[1]);
        (void)!read(ends[0], &byte, 1); /* its end */
        _exit(0);
    }
    close(ends[0]);
    const struct iovec to = {here, sizeof here}, from = {(void *)(uintptr_t)there, sizeof there};
    const bool read = child > 0 && process_vm_readv(child, &to, 1, &from, 1, 0) == sizeof there;
    close(ends[1]);
    if (child > 0) waitpid(child, NULL, 0);
    return read;
}

void host_messages_prepare(void)
{
    /* What does not go by a single copy (gaps in it, or none is allowed): 16 fragments of 256 KiB
     * under way, not 3 of 32 KiB, so that ranks that take turns on a core move megabytes a turn. */
    setenv("OMPI_MCA_btl_vader_max_send_size", "262144", 0);
    setenv("OMPI_MCA_btl_sm_max_send_size", "262144", 0);
    setenv("OMPI_MCA_pml_ob1_send_pipeline_depth", "16", 0);
    single_copy = processes_readable();
    if (!single_copy) setenv("OMPI_MCA_btl_vader_single_copy_mechanism", "none", 0);
}

bool host_messages_single_copy(void)
{
    return single_copy;
}
