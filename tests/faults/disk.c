/* disk: runs a command whose disk has a fault (tests/faults/disks).
 *
 *     disk --root DIR [--rank R] [--calls LIST] [--log FILE]
 *          [--fault ENOSPC|EDQUOT|EIO|short [--at N] [--on]] -- COMMAND...
 *
 * The calls that change something at DIR or below it are counted, from 1, over all threads and
 * children: open (to write or create), write, sync, rename, mkdir, link, truncate, remove, close
 * (of a file open to write), or those that LIST names, with commas between. The Nth fails with that
 * error and does nothing, with --on so do all after it.  short: a write (write or pwrite) of which
 * the first half is done.  --log: each counted call as "N CALL PATH", with " !" behind those that
 * failed.  --rank: under mpirun this rank alone; others run as they are.
 *
 * The system asks us before each call (seccomp's user notification, Linux 5.6), so that stdio, HDF5
 * and whatever else writes are seen alike.  The status is the command's; 125: this machine does not
 * allow it. */
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PATH_MOST = 4096, UNABLE = 125 };
enum kind { OPEN, WRITE, SYNC, RENAME, MKDIR, LINK, TRUNCATE, REMOVE, CLOSE, KINDS };
static const char *const kind_names[KINDS] = {"open", "write",    "sync",   "rename", "mkdir",
                                              "link", "truncate", "remove", "close"};

/* Where a call has what it changes: a descriptor, a path, or a path below a directory's descriptor.
 */
enum place { AT_FILE, AT_PATH, AT_BELOW };

static const struct call {
    int number, flags; /* flags: the argument of open's flags, -1: none */
    enum kind kind;
    enum place place;
    int argument; /* of the descriptor or path; below a directory: of the directory */
} calls[] = {
    {SYS_open, 1, OPEN, AT_PATH, 0},          {SYS_openat, 2, OPEN, AT_BELOW, 0},
    {SYS_creat, -1, OPEN, AT_PATH, 0},        {SYS_write, -1, WRITE, AT_FILE, 0},
    {SYS_pwrite64, -1, WRITE, AT_FILE, 0},    {SYS_writev, -1, WRITE, AT_FILE, 0},
    {SYS_fsync, -1, SYNC, AT_FILE, 0},        {SYS_fdatasync, -1, SYNC, AT_FILE, 0},
    {SYS_rename, -1, RENAME, AT_PATH, 1},     {SYS_renameat, -1, RENAME, AT_BELOW, 2},
    {SYS_renameat2, -1, RENAME, AT_BELOW, 2}, {SYS_mkdir, -1, MKDIR, AT_PATH, 0},
    {SYS_mkdirat, -1, MKDIR, AT_BELOW, 0},    {SYS_link, -1, LINK, AT_PATH, 1},
    {SYS_linkat, -1, LINK, AT_BELOW, 2},      {SYS_symlink, -1, LINK, AT_PATH, 1},
    {SYS_symlinkat, -1, LINK, AT_BELOW, 1},   {SYS_ftruncate, -1, TRUNCATE, AT_FILE, 0},
    {SYS_truncate, -1, TRUNCATE, AT_PATH, 0}, {SYS_unlink, -1, REMOVE, AT_PATH, 0},
    {SYS_unlinkat, -1, REMOVE, AT_BELOW, 0},  {SYS_rmdir, -1, REMOVE, AT_PATH, 0},
    {SYS_close, -1, CLOSE, AT_FILE, 0},       {SYS_sync_file_range, -1, SYNC, AT_FILE, 0},
};
enum { CALLS = sizeof calls / sizeof *calls };

static struct {
    const char *root, *log;
    int fault, on, halves; /* fault: an errno, 0: none; halves: short writes */
    long at, seen;
    unsigned kinds; /* a bit a kind */
} ask = {.at = 1, .kinds = (1u << KINDS) - 1};

static void die(const char *what)
{
    fprintf(stderr, "disk: %s: %s\n", what, strerror(errno));
    exit(UNABLE);
}

/* Installs the filter; what it returns asks about the calls above. */
static int filter_install(void)
{
    struct sock_filter code[4 + 6 * CALLS];
    unsigned short n = 0;
#define ADD(...) code[n++] = (struct sock_filter)__VA_ARGS__
    ADD(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)));
    for (int i = 0; i < CALLS; i++) {
        const int changes = O_WRONLY | O_RDWR | O_CREAT | O_TRUNC;
        if (calls[i].flags < 0) {
            ADD(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)calls[i].number, 0, 1));
            ADD(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF));
            continue;
        }
        const unsigned at =
            offsetof(struct seccomp_data, args) + 8u * (unsigned)calls[i].flags; /* low half */
        ADD(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)calls[i].number, 0, 4));
        ADD(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, at));
        ADD(BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, (unsigned)changes, 0, 1));
        ADD(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF));
        ADD(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
    }
    ADD(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
#undef ADD
    struct sock_fprog program = {n, code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) die("no_new_privs");
    const long listener =
        syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
    if (listener < 0) die("seccomp");
    return (int)listener;
}

/* A descriptor goes through a socket: the call for it is none of those above. */
union room {
    char bytes[CMSG_SPACE(sizeof(int))];
    struct cmsghdr aligned;
};

static void descriptor_send(int socket, int file)
{
    union room room = {{0}};
    char byte = 0;
    struct iovec one = {&byte, 1};
    struct msghdr message = {
        .msg_iov = &one, .msg_iovlen = 1, .msg_control = &room, .msg_controllen = sizeof room};
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    *head = (struct cmsghdr){
        .cmsg_len = CMSG_LEN(sizeof file), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(head), &file, sizeof file);
    if (sendmsg(socket, &message, 0) != 1) die("sendmsg");
}

static int descriptor_receive(int socket)
{
    union room room;
    char byte;
    struct iovec one = {&byte, 1};
    struct msghdr message = {
        .msg_iov = &one, .msg_iovlen = 1, .msg_control = &room, .msg_controllen = sizeof room};
    int file = -1;
    if (recvmsg(socket, &message, 0) != 1) return -1; /* it ended before: its words are said */
    memcpy(&file, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof file);
    return file;
}

static void link_read(const char *link, char path[PATH_MOST])
{
    const ssize_t length = readlink(link, path, PATH_MOST - 1);
    path[length > 0 ? length : 0] = 0;
}

static void file_path(unsigned thread, int file, char path[PATH_MOST])
{
    char link[64];
    if (file == AT_FDCWD)
        snprintf(link, sizeof link, "/proc/%u/cwd", thread);
    else
        snprintf(link, sizeof link, "/proc/%u/fd/%d", thread, file);
    link_read(link, path);
}

/* Text of the other's memory, page by page: the next one may not be there. */
static void text_read(unsigned thread, uint64_t from, char text[PATH_MOST])
{
    size_t used = 0;
    while (used < PATH_MOST - 1) {
        size_t size = 4096 - (from + used) % 4096;
        if (size > PATH_MOST - 1 - used) size = PATH_MOST - 1 - used;
        struct iovec here = {text + used, size}, there = {(void *)(uintptr_t)(from + used), size};
        if (process_vm_readv((pid_t)thread, &here, 1, &there, 1, 0) != (ssize_t)size) break;
        const char *end = memchr(text + used, 0, size);
        if (end) return;
        used += size;
    }
    text[used] = 0;
}

/* What the call changes, as an absolute path. */
static void path_of(const struct call *call, const struct seccomp_notif *about,
                    char path[PATH_MOST])
{
    const uint64_t *arguments = (const uint64_t *)about->data.args;
    if (call->place == AT_FILE) {
        file_path(about->pid, (int)arguments[call->argument], path);
        return;
    }
    const int below = call->place == AT_BELOW;
    char name[PATH_MOST], folder[PATH_MOST];
    text_read(about->pid, arguments[call->argument + below], name);
    if (*name == '/') {
        strcpy(path, name);
        return;
    }
    file_path(about->pid, below ? (int)arguments[call->argument] : AT_FDCWD, folder);
    if (snprintf(path, PATH_MOST, "%s/%s", folder, name) >= PATH_MOST) *path = 0;
}

static int is_below_root(const char *path)
{
    const size_t length = strlen(ask.root);
    return !strncmp(path, ask.root, length) && (!path[length] || path[length] == '/');
}

/* Without O_CREAT a file that is not there is not opened anyway: HDF5 tries before it creates one.
 */
static int opens_nothing(const struct call *call, const struct seccomp_notif *about,
                         const char *path)
{
    return call->flags >= 0 && !(about->data.args[call->flags] & O_CREAT) &&
           access(path, F_OK) != 0;
}

static int opened_to_write(unsigned thread, int file)
{
    char name[64], line[128];
    unsigned flags = 0;
    snprintf(name, sizeof name, "/proc/%u/fdinfo/%d", thread, file);
    FILE *stream = fopen(name, "r");
    if (!stream) return 0;
    while (fgets(line, sizeof line, stream))
        if (sscanf(line, "flags: %o", &flags) == 1) break;
    fclose(stream);
    return (flags & O_ACCMODE) != O_RDONLY;
}

/* Does the first half of a write in the other's place; what it answers, 0: it is too short. */
static int64_t half_write(const struct seccomp_notif *about)
{
    const uint64_t *arguments = (const uint64_t *)about->data.args;
    const size_t half = (size_t)arguments[2] / 2;
    if (half == 0) return 0;
    char *bytes = malloc(half);
    struct iovec here = {bytes, half}, there = {(void *)(uintptr_t)arguments[1], half};
    /* Threads have no descriptors of their own; the call wants the process. */
    char name[64], line[128];
    int process = (int)about->pid;
    snprintf(name, sizeof name, "/proc/%u/status", about->pid);
    FILE *stream = fopen(name, "r");
    while (stream && fgets(line, sizeof line, stream))
        if (sscanf(line, "Tgid: %d", &process) == 1) break;
    if (stream) fclose(stream);
    const int handle = (int)syscall(SYS_pidfd_open, process, 0);
    const int file = (int)syscall(SYS_pidfd_getfd, handle, (int)arguments[0], 0);
    int64_t done = -1;
    if (file >= 0 && process_vm_readv((pid_t)about->pid, &here, 1, &there, 1, 0) == (ssize_t)half)
        done = about->data.nr == SYS_pwrite64 ? pwrite(file, bytes, half, (off_t)arguments[3])
                                              : write(file, bytes, half);
    if (done < 0) die("a short write");
    close(file);
    close(handle);
    free(bytes);
    return done;
}

static void note(enum kind kind, const char *path, int hit)
{
    FILE *stream = ask.log ? fopen(ask.log, "a") : NULL;
    if (!stream) return;
    fprintf(stream, "%ld %s %s%s\n", ask.seen, kind_names[kind], path, hit ? " !" : "");
    fclose(stream);
}

/* The answer to a call: it goes on, or fails, or was done by half. */
static void answer(const struct seccomp_notif *about, struct seccomp_notif_resp *reply)
{
    char path[PATH_MOST];
    const struct call *call = calls;
    *reply =
        (struct seccomp_notif_resp){.id = about->id, .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE};
    while (call->number != about->data.nr) call++;
    if (!(ask.kinds & 1u << call->kind)) return;
    if (ask.halves && about->data.nr == SYS_writev) return;
    path_of(call, about, path);
    if (!is_below_root(path)) return;
    if (call->kind == OPEN && opens_nothing(call, about, path)) return;
    if (call->kind == CLOSE && !opened_to_write(about->pid, (int)about->data.args[0])) return;
    ask.seen++;
    const int hit = (ask.fault || ask.halves) && (ask.on ? ask.seen >= ask.at : ask.seen == ask.at);
    const int64_t done = hit && ask.halves ? half_write(about) : 0;
    note(call->kind, path, hit);
    if (!hit || (ask.halves && done == 0)) return;
    reply->flags = 0;
    reply->val = done;
    reply->error = ask.halves ? 0 : -ask.fault;
}

/* Answers until the command has ended. */
static void watch(int listener, pid_t command)
{
    struct seccomp_notif about;
    struct seccomp_notif_resp reply;
    struct pollfd both[2] = {{.fd = listener, .events = POLLIN},
                             {.fd = (int)syscall(SYS_pidfd_open, command, 0), .events = POLLIN}};
    for (;;) {
        if (poll(both, 2, -1) < 0 && errno != EINTR) die("poll");
        if (both[0].revents & POLLIN) {
            memset(&about, 0, sizeof about);
            if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &about)) continue; /* it is gone */
            answer(&about, &reply);
            ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &reply);
        } else if (both[1].revents)
            return;
    }
}

static void calls_named(char *list)
{
    ask.kinds = 0;
    for (char *name = strtok(list, ","); name; name = strtok(NULL, ",")) {
        int kind = 0;
        while (kind < KINDS && strcmp(name, kind_names[kind]) != 0) kind++;
        if (kind == KINDS) {
            fprintf(stderr, "disk: no calls are called %s\n", name);
            exit(UNABLE);
        }
        ask.kinds |= 1u << kind;
    }
}

static void fault_named(const char *name)
{
    ask.halves = !strcmp(name, "short");
    ask.fault = !strcmp(name, "ENOSPC")   ? ENOSPC
                : !strcmp(name, "EDQUOT") ? EDQUOT
                : !strcmp(name, "EIO")    ? EIO
                                          : 0;
    if (ask.halves) ask.kinds = 1u << WRITE;
    if (ask.halves || ask.fault) return;
    fprintf(stderr, "disk: no fault is called %s\n", name);
    exit(UNABLE);
}

int main(int count, char **words)
{
    const char *rank = NULL, *own = getenv("OMPI_COMM_WORLD_RANK");
    int i = 1;
    for (; i < count && strcmp(words[i], "--") != 0; i++) {
        const char *name = words[i];
        if (!strcmp(name, "--on"))
            ask.on = 1;
        else if (i + 1 == count)
            break;
        else if (!strcmp(name, "--root"))
            ask.root = words[++i];
        else if (!strcmp(name, "--rank"))
            rank = words[++i];
        else if (!strcmp(name, "--calls"))
            calls_named(words[++i]);
        else if (!strcmp(name, "--log"))
            ask.log = words[++i];
        else if (!strcmp(name, "--at"))
            ask.at = atol(words[++i]);
        else if (!strcmp(name, "--fault"))
            fault_named(words[++i]);
        else
            break;
    }
    if (!ask.root || i + 1 >= count || strcmp(words[i], "--") != 0) {
        fprintf(stderr, "disk: see the head of tests/faults/disk.c\n");
        return UNABLE;
    }
    char **command = words + i + 1;
    int pair[2], status = 0;
    if (rank && strcmp(rank, own ? own : "0") != 0) {
        execvp(*command, command);
        die(*command);
    }
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair)) die("socketpair");
    const pid_t child = fork();
    if (child < 0) die("fork");
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        descriptor_send(pair[1], filter_install());
        execvp(*command, command);
        die(*command);
    }
    close(pair[1]);
    const int listener = descriptor_receive(pair[0]);
    if (listener >= 0) watch(listener, child);
    if (waitpid(child, &status, 0) != child) die("waitpid");
    if (!WIFSIGNALED(status)) return WEXITSTATUS(status);
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0}); /* the command left one where it was to */
    signal(WTERMSIG(status), SIG_DFL);
    raise(WTERMSIG(status));
    return 128 + WTERMSIG(status);
}
