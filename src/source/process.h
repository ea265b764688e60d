/* A program of the user's at the other end of two pipes, in a process group of its own: the
 * terminal's ^C and a signal to this process's group do not reach it before the run has saved.  The
 * group dies with this process, however that ends. */
#ifndef REGARD_SOURCE_PROCESS_H
#define REGARD_SOURCE_PROCESS_H

#include "src/base/status.h"

#include <stddef.h>
#include <sys/types.h>

struct process {
    pid_t pid;         /* 0: none runs */
    int input, output; /* its standard input, its standard output; -1: closed */
    int life;          /* nothing is written to it: its end tells that this process is gone */
    char *text;        /* [size] what it said and nobody has read yet, from `read` on */
    size_t size, read, capacity;
};

enum process_event {
    PROCESS_LINE,     /* it said a line */
    PROCESS_ENDED,    /* it closed its output: there is no more to come */
    PROCESS_TOO_LATE, /* the deadline passed */
    PROCESS_TOO_LONG  /* a line of more than PROCESS_LINE_MAX bytes */
};

enum { PROCESS_LINE_MAX = 1 << 24, PROCESS_END_MAX = 64 };

/* `sh -c COMMAND`, with this process's standard error and environment. */
status process_start(const char *command, struct process *process);
/* Sends text [size) from *sent on while it reads, so that full pipes on both sides hold up nobody,
 * until there is a line, the output's end or the deadline (in seconds_now's time).  *line, without
 * its newline, ends in 0 and is there until the next call. */
enum process_event process_exchange(struct process *process, const char *text, size_t size,
                                    size_t *sent, double deadline, char **line, size_t *length);
/* Closes the pipes, leaves it a second to end by itself, kills it otherwise, and waits for it. how:
 * what it came to, "exit status 3"; may be NULL.  Nothing to do where none runs. */
void process_end(struct process *process, char how[PROCESS_END_MAX]);

#endif
