/* What this process is at and whether it gets on, for those who wait for it (mpi/watchdog.h).  Work
 * that may take long notes progress at its natural points: a decode step, a pass, a product of
 * matrices, a piece of a file.  A note costs a few nanoseconds and changes nothing. */
#ifndef REGARD_BASE_HEARTBEAT_H
#define REGARD_BASE_HEARTBEAT_H

#include <stdint.h>

void heartbeat_note(void);
int64_t heartbeat_count(void); /* of notes; any change is progress */

/* What is done from here on ("update"), a text that stays; gives what was done before.  Counts as
 * progress.  The first thread that says so speaks for the process: of others it is progress alone.
 */
const char *heartbeat_doing(const char *what);
const char *heartbeat_what(void);

/* Also called at each note, on the thread that makes it; NULL: nothing is. */
void heartbeat_on_note(void (*call)(void *context), void *context);

#endif
