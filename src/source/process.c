/* See process.h. */
#include "src/source/process.h"

#include "src/base/clock.h"
#include "src/base/heartbeat.h"
#include "src/base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { READ_SIZE = 1 << 16, SIGNALS = 65 };
static const double end_seconds = 1;

/* What sh runs, with the command as $0: beside it a guard that reads from LIFE, whose other end
 * this process alone holds.  When it is gone, however it went, the guard kills the whole group.
 * REGARD_COMMAND says that the launch in its environment is not its own. */
enum { LIFE = 3 };
static const char guarded[] =
    "export REGARD_COMMAND=1; { read -r end <&3; kill -9 0; } >/dev/null 2>&1 & exec 3<&-; "
    "( eval \"$0\" ); code=$?; kill $!; wait 2>/dev/null; exit $code";

/* Under its number after exec too. */
static bool file_take(int file, int number)
{
    return dup2(file, number) == number && fcntl(number, F_SETFD, 0) == 0;
}

/* In the child, which shares this process's memory until it is another program: nothing but calls
 * to the system. */
static _Noreturn void become(const char *command, int input, int output, int life)
{
    for (int number = 1; number < SIGNALS; number++)
        signal(number, SIG_DFL); /* an ignored one would stay so */
    setpgid(0, 0);
    if (!file_take(input, STDIN_FILENO) || !file_take(output, STDOUT_FILENO) ||
        !file_take(life, LIFE))
        _exit(127);
    close_range(LIFE + 1, ~0U, 0); /* files and sockets of the run */
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    execl("/bin/sh", "sh", "-c", guarded, command, (char *)NULL);
    _exit(127);
}

/* vfork, since a copy of this process's page tables would cost time and, where memory is promised
 * but once, be refused.  No handler of a signal may run in the child meanwhile. */
static pid_t child_start(const char *command, int input, int output, int life)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const pid_t pid = vfork();
    if (pid == 0) become(command, input, output, life);
    const int error = errno;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = error;
    return pid;
}

static void pipe_close(int *end)
{
    if (*end >= 0) close(*end);
    *end = -1;
}

status process_start(const char *command, struct process *process)
{
    int in[2] = {-1, -1}, out[2] = {-1, -1}, life[2] = {-1, -1};
    memset(process, 0, sizeof *process);
    pid_t pid = -1;
    if (pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0 && pipe2(life, O_CLOEXEC) == 0 &&
        fcntl(in[1], F_SETFL, O_NONBLOCK) == 0 && fcntl(out[0], F_SETFL, O_NONBLOCK) == 0)
        pid = child_start(command, in[0], out[1], life[0]);
    const int error = errno;
    pipe_close(&in[0]);
    pipe_close(&out[1]);
    pipe_close(&life[0]);
    process->input = in[1];
    process->output = out[0];
    process->life = life[1];
    if (pid > 0) {
        process->pid = pid;
        return NULL;
    }
    process_end(process, NULL);
    FAIL(STATUS_INTERNAL, "cannot start %s: %s", command, strerror(error));
}

/* write, where a pipe without a reader is EPIPE and not the end of this process. */
static ssize_t pipe_write(int pipe, const char *text, size_t size)
{
    sigset_t broken, before;
    sigemptyset(&broken);
    sigaddset(&broken, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &broken, &before);
    const ssize_t written = write(pipe, text, size);
    const int error = errno;
    const struct timespec at_once = {0, 0};
    if (written < 0 && error == EPIPE) sigtimedwait(&broken, NULL, &at_once);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = error;
    return written;
}

static bool wait_again(void)
{
    return errno == EAGAIN || errno == EINTR;
}

/* The next line of what was read. */
static bool line_take(struct process *process, char **line, size_t *length)
{
    char *begin = process->text + process->read;
    char *end =
        process->size > process->read ? memchr(begin, '\n', process->size - process->read) : NULL;
    if (!end) return false;
    *end = 0;
    *line = begin;
    *length = (size_t)(end - begin);
    process->read += *length + 1;
    return true;
}

/* False: the output is closed. */
static bool output_read(struct process *process)
{
    if (process->read) {
        process->size -= process->read;
        memmove(process->text, process->text + process->read, process->size);
        process->read = 0;
    }
    if (process->capacity < process->size + READ_SIZE) {
        process->capacity = 2 * process->capacity + READ_SIZE;
        process->text = memory_resize(process->text, process->capacity);
    }
    const ssize_t got = read(process->output, process->text + process->size, READ_SIZE);
    if (got > 0) process->size += (size_t)got;
    return got > 0 || (got < 0 && wait_again());
}

enum process_event process_exchange(struct process *process, const char *text, size_t size,
                                    size_t *sent, double deadline, char **line, size_t *length)
{
    for (;;) {
        if (line_take(process, line, length)) return PROCESS_LINE;
        if (process->size - process->read > PROCESS_LINE_MAX) return PROCESS_TOO_LONG;
        if (process->output < 0) return PROCESS_ENDED;
        const double left = deadline - seconds_now();
        if (left <= 0) return PROCESS_TOO_LATE;
        heartbeat_note(); /* the wait has a limit of its own */
        /* poll leaves out what is negative. */
        struct pollfd ends[2] = {{process->output, POLLIN, 0},
                                 {*sent < size ? process->input : -1, POLLOUT, 0}};
        if (poll(ends, 2, (int)ceil(1000 * fmin(left, 0.5))) < 0 && !wait_again())
            return PROCESS_ENDED;
        if (ends[1].revents) {
            const ssize_t written = pipe_write(process->input, text + *sent, size - *sent);
            if (written >= 0) *sent += (size_t)written;
            if (written < 0 && !wait_again()) pipe_close(&process->input);
        }
        if (ends[0].revents && !output_read(process)) pipe_close(&process->output);
    }
}

static void how_it_ended(int code, char how[PROCESS_END_MAX])
{
    if (WIFSIGNALED(code))
        snprintf(how, PROCESS_END_MAX, "signal %d", WTERMSIG(code));
    else
        snprintf(how, PROCESS_END_MAX, "exit status %d%s", WEXITSTATUS(code),
                 WEXITSTATUS(code) == 127 ? ", which is the shell's for no such command" : "");
}

/* The program is told to end, by its pipes. */
static void wait_for(pid_t pid, char how[PROCESS_END_MAX])
{
    const double deadline = seconds_now() + end_seconds;
    siginfo_t ended = {0};
    while (waitid(P_PID, (id_t)pid, &ended, WEXITED | WNOHANG | WNOWAIT) == 0 && !ended.si_pid &&
           seconds_now() < deadline)
        nanosleep(&(struct timespec){0, 2000000}, NULL);
    /* Nobody has waited for it, so that the group's number is still its own. */
    kill(-pid, SIGKILL);
    int code = 0;
    while (waitpid(pid, &code, 0) < 0 && errno == EINTR) continue;
    if (how) how_it_ended(code, how);
}

void process_end(struct process *process, char how[PROCESS_END_MAX])
{
    pipe_close(&process->input);
    pipe_close(&process->output);
    free(process->text);
    process->text = NULL;
    const pid_t pid = process->pid;
    if (pid) wait_for(pid, how);
    process->pid = 0;
    pipe_close(&process->life);
}
