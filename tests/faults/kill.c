/* Preloaded into the ranks of a run (tests/faults/kills): kills its process at a step of the save
 * protocol.  A step is a call on something in RUN/checkpoints, named by the call and by the path
 * from there on with digits as #: "fsync step-#.tmp/model.h#".
 *   FAULT_LOG    a file that receives the name of every step of every rank, or
 *   FAULT_RANK, FAULT_STEP, FAULT_COUNT, FAULT_WHEN
 *                the rank that dies, at which step, at its how manyth (from 1): before the call,
 *                after it, or half: what is written is half of what should be */
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NAME_MOST = 512, BEFORE = 1, AFTER, HALF };

static const char *ask(const char *name)
{
    const char *value = getenv(name);
    return value ? value : "";
}

/* The step's name; 0: the path is not of a checkpoint. */
static int step_name(const char *call, const char *path, char name[NAME_MOST])
{
    const char *from = path ? strstr(path, "/checkpoints") : NULL;
    if (!from) return 0;
    from += strlen("/checkpoints");
    if (*from && *from != '/') return 0;
    int n = snprintf(name, NAME_MOST, "%s ", call);
    if (!*from) n += snprintf(name + n, (size_t)(NAME_MOST - n), ".");
    for (const char *c = from + (*from == '/'); *c && n < NAME_MOST - 1; c++) {
        const int digit = *c >= '0' && *c <= '9';
        if (digit && name[n - 1] == '#') continue;
        name[n++] = digit ? '#' : *c;
    }
    name[n] = 0;
    return 1;
}

/* When to die in this call; 0: not in it. */
static int due(const char *call, const char *path)
{
    static long seen;
    char name[NAME_MOST];
    if (!step_name(call, path, name)) return 0;
    const char *rank = ask("OMPI_COMM_WORLD_RANK"), *log = ask("FAULT_LOG");
    if (!*rank) rank = "0"; /* without mpirun */
    if (*log) {
        char line[NAME_MOST + 16];
        const int length = snprintf(line, sizeof line, "%s %s\n", rank, name);
        int (*real_open)(const char *, int, ...) =
            (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, "open");
        const int file = real_open(log, O_WRONLY | O_APPEND | O_CREAT, 0644);
        if (file < 0 || write(file, line, (size_t)length) != length) abort();
        close(file);
    }
    if (strcmp(rank, ask("FAULT_RANK")) != 0 || strcmp(name, ask("FAULT_STEP")) != 0) return 0;
    if (++seen != atol(ask("FAULT_COUNT"))) return 0;
    const char *when = ask("FAULT_WHEN");
    return !strcmp(when, "before") ? BEFORE : !strcmp(when, "after") ? AFTER : HALF;
}

static void die(void)
{
    kill(getpid(), SIGKILL);
    for (;;) pause();
}

/* A call: dies before it, does it, dies after it. */
#define CALL(type, symbol, path, parameters, arguments)                                            \
    type symbol parameters                                                                         \
    {                                                                                              \
        type(*real) parameters = (type(*) parameters)dlsym(RTLD_NEXT, #symbol);                    \
        const int when = due(#symbol, path);                                                       \
        if (when == BEFORE || when == HALF) die();                                                 \
        type result = real arguments;                                                              \
        if (when == AFTER) die();                                                                  \
        return result;                                                                             \
    }

CALL(int, mkdir, path, (const char *path, mode_t mode), (path, mode))
CALL(int, unlink, path, (const char *path), (path))
CALL(int, rmdir, path, (const char *path), (path))
CALL(int, rename, from, (const char *from, const char *to), (from, to))

static mode_t mode_of(int flags, va_list list)
{
    return flags & O_CREAT ? va_arg(list, mode_t) : 0;
}

/* Opening to read is no step. */
#define OPEN(symbol)                                                                               \
    int symbol(const char *path, int flags, ...)                                                   \
    {                                                                                              \
        int (*real)(const char *, int, ...) =                                                      \
            (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, #symbol);                            \
        va_list list;                                                                              \
        va_start(list, flags);                                                                     \
        const mode_t mode = mode_of(flags, list);                                                  \
        va_end(list);                                                                              \
        const int when = flags & (O_CREAT | O_TRUNC) ? due("open", path) : 0;                      \
        if (when == BEFORE || when == HALF) die();                                                 \
        const int result = real(path, flags, mode);                                                \
        if (when == AFTER) die();                                                                  \
        return result;                                                                             \
    }
OPEN(open)
OPEN(open64)

#define FOPEN(symbol)                                                                              \
    FILE *symbol(const char *path, const char *mode)                                               \
    {                                                                                              \
        FILE *(*real)(const char *, const char *) =                                                \
            (FILE * (*)(const char *, const char *)) dlsym(RTLD_NEXT, #symbol);                    \
        const int when = *mode == 'w' ? due("open", path) : 0;                                     \
        if (when == BEFORE || when == HALF) die();                                                 \
        FILE *result = real(path, mode);                                                           \
        if (when == AFTER) die();                                                                  \
        return result;                                                                             \
    }
FOPEN(fopen)
FOPEN(fopen64)

static const char *path_of(int file, char path[4096])
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    const ssize_t length = readlink(link, path, 4095);
    path[length > 0 ? length : 0] = 0;
    return path;
}

/* half: the file is cut to half of its bytes, as a disk may leave it that was never asked. */
int fsync(int file)
{
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    char path[4096];
    struct stat about;
    const int when = due("fsync", path_of(file, path));
    if (when == HALF && fstat(file, &about) == 0 && S_ISREG(about.st_mode))
        (void)!ftruncate(file, about.st_size / 2);
    if (when == BEFORE || when == HALF) die();
    const int result = real(file);
    if (when == AFTER) die();
    return result;
}

#define PWRITE(symbol)                                                                             \
    ssize_t symbol(int file, const void *data, size_t size, off_t offset)                          \
    {                                                                                              \
        ssize_t (*real)(int, const void *, size_t, off_t) =                                        \
            (ssize_t(*)(int, const void *, size_t, off_t))dlsym(RTLD_NEXT, #symbol);               \
        char path[4096];                                                                           \
        const int when = due("write", path_of(file, path));                                        \
        if (when == BEFORE) die();                                                                 \
        const ssize_t result = real(file, data, when == HALF ? size / 2 : size, offset);           \
        if (when) die();                                                                           \
        return result;                                                                             \
    }
PWRITE(pwrite)
PWRITE(pwrite64)
