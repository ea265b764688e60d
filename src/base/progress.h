/* What must be moved on now and then while this process computes or waits: MPI sends and receives
 * only while it is called. */
#ifndef REGARD_BASE_PROGRESS_H
#define REGARD_BASE_PROGRESS_H

#include <stdint.h>

/* poll NULL: nothing.  It is short, never waits, and is called by the thread that set it. */
void progress_set(void (*poll)(void *context), void *context);
/* Between steps of a long work, and in waits. */
void progress_poll(void);
/* So many more replies have been sampled or read by this thread; and how many there were. */
void progress_add(int64_t replies);
int64_t progress_replies(void);

#endif
