/* See watchdog.h.  Notes travel by persistent requests, one a pair of ranks: a note that does not
 * leave, since its receiver is gone, only stays where it is. */
#include "mpi/watchdog.h"

#include "mpi/signals.h"
#include "mpi/watchdog_verdict.h"
#include "src/base/clock.h"
#include "src/base/heartbeat.h"
#include "src/base/log.h"
#include "src/base/memory.h"

#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    WATCHERS_MOST = 3,
    NOTE_TAG = 1,
    abort_lasts = 30 /* seconds: MPI_Abort may hang like any other call */
};

static const double quiet_lasts = 5; /* for the one that reports to end all ranks */
/* srun -K1 lets ranks live for KillWait, half a minute, after it asked them to end, since one is
 * dead. */
static const double silence_at_end = 6; /* at least; see silence_least */

struct note {
    int64_t step;
    double idle;
    int32_t waiting, reports; /* reports: the sender ends all ranks, say nothing */
    char what[WATCH_NAME_BYTES];
};

struct watchdog {
    MPI_Comm comm;
    int rank, size;
    int watchers[WATCHERS_MOST], watcher_count, place; /* place: mine among them, or their count */
    const _Atomic int64_t *step;
    char *hosts;              /* [size][WATCH_NAME_BYTES] */
    struct watch_peer *peers; /* [size] */
    double *heard;            /* [size], seconds_now */
    bool *named;              /* [size]: a warning has named it */
    struct note *out, in;     /* out: [size], each its own while it is under way */
    MPI_Request *leaving;     /* [size], MPI_REQUEST_NULL for those that this rank tells nothing */
    bool *under_way;
    MPI_Request coming;
    double ticked, told, quiet, progressed; /* seconds_now */
    int64_t notes;                          /* heartbeat_count at `progressed` */
    bool has_thread, running;
    pthread_t thread, main;
    pthread_mutex_t lock; /* what stands below, and `running` */
    pthread_cond_t ends;
    double patience, waited; /* seconds; seconds_now of the last watchdog_wait */
    int64_t waited_notes;    /* heartbeat_count then: progress since means that the wait is over */
    bool stopping;
    char waits_for[WATCH_NAME_BYTES];
};

static double between(double value, double least, double most)
{
    return value < least ? least : value > most ? most : value;
}

/* Between two looks of a rank, and between two notes of its: seconds.  A note leaves at the first
 * look after its time, and is heard at the receiver's next. */
static double look_every(double patience)
{
    return between(patience / 20, 0.02, 1);
}

static double note_every(const struct watchdog *dog, double patience)
{
    return between(patience / 10, 0.05, 1 + dog->size / 4096.0);
}

static bool is_watcher(const struct watchdog *dog, int rank)
{
    for (int i = 0; i < dog->watcher_count; i++)
        if (dog->watchers[i] == rank) return true;
    return false;
}

/* The first, the last and the middle rank: hardly ever all on one host. */
static void watchers_choose(struct watchdog *dog)
{
    const int candidates[WATCHERS_MOST] = {0, dog->size - 1, dog->size / 2};
    for (int i = 0; i < WATCHERS_MOST; i++)
        if (!is_watcher(dog, candidates[i])) dog->watchers[dog->watcher_count++] = candidates[i];
    dog->place = dog->watcher_count;
    for (int i = 0; i < dog->watcher_count; i++)
        if (dog->watchers[i] == dog->rank) dog->place = i;
}

static status hosts_learn(struct watchdog *dog)
{
    char name[WATCH_NAME_BYTES] = "";
    gethostname(name, sizeof name - 1);
    if (MPI_Allgather(name, WATCH_NAME_BYTES, MPI_CHAR, dog->hosts, WATCH_NAME_BYTES, MPI_CHAR,
                      dog->comm) != MPI_SUCCESS)
        FAIL(STATUS_INTERNAL, "MPI cannot gather the hosts' names");
    return NULL;
}

static void requests_open(struct watchdog *dog)
{
    const bool watches = dog->place < dog->watcher_count;
    for (int r = 0; r < dog->size; r++) {
        dog->leaving[r] = MPI_REQUEST_NULL;
        if (r == dog->rank || !(watches || is_watcher(dog, r))) continue;
        dog->peers[r].known = true;
        MPI_Send_init(&dog->out[r], sizeof dog->out[r], MPI_BYTE, r, NOTE_TAG, dog->comm,
                      &dog->leaving[r]);
    }
    dog->peers[dog->rank].known = true;
    MPI_Recv_init(&dog->in, sizeof dog->in, MPI_BYTE, MPI_ANY_SOURCE, NOTE_TAG, dog->comm,
                  &dog->coming);
    MPI_Start(&dog->coming);
}

/* ---- telling and hearing ---- */

/* What this rank says of itself, at `now`.  It waits while it has asked for what it waits for
 * within half the patience, and nothing has got on since: a rank that has to share its core may be
 * long between two tests. */
static void self_look(struct watchdog *dog, double now, double patience)
{
    struct watch_peer *self = &dog->peers[dog->rank];
    const int64_t notes = heartbeat_count();
    if (notes != dog->notes) {
        dog->notes = notes;
        dog->progressed = now;
    }
    pthread_mutex_lock(&dog->lock);
    const bool asked = notes == dog->waited_notes;
    self->waiting = asked && now < dog->waited + patience / 2;
    snprintf(self->what, sizeof self->what, "%s",
             self->waiting ? dog->waits_for : heartbeat_what());
    /* It has come; since then the rank is at work. */
    if (asked && !self->waiting && dog->waited > dog->progressed) dog->progressed = dog->waited;
    pthread_mutex_unlock(&dog->lock);
    self->idle = now - dog->progressed;
    self->step = atomic_load_explicit(dog->step, memory_order_relaxed);
    dog->heard[dog->rank] = now;
}

/* To all that this rank tells anything; one whose last note has not left yet is told nothing. */
static void tell(struct watchdog *dog, double now, bool reports)
{
    const struct watch_peer *self = &dog->peers[dog->rank];
    struct note note = {
        .step = self->step, .idle = self->idle, .waiting = self->waiting, .reports = reports};
    memcpy(note.what, self->what, sizeof note.what);
    for (int r = 0; r < dog->size; r++) {
        int left = 1;
        if (dog->leaving[r] == MPI_REQUEST_NULL) continue;
        if (dog->under_way[r]) MPI_Test(&dog->leaving[r], &left, MPI_STATUS_IGNORE);
        if (!left) continue;
        dog->out[r] = note;
        dog->under_way[r] = MPI_Start(&dog->leaving[r]) == MPI_SUCCESS;
    }
    dog->told = now;
}

static void hear(struct watchdog *dog, double now)
{
    for (;;) {
        int there = 0;
        MPI_Status about;
        if (MPI_Test(&dog->coming, &there, &about) != MPI_SUCCESS || !there) return;
        struct watch_peer *peer = &dog->peers[about.MPI_SOURCE];
        peer->step = dog->in.step;
        peer->idle = dog->in.idle;
        peer->waiting = dog->in.waiting;
        memcpy(peer->what, dog->in.what, sizeof peer->what);
        peer->what[sizeof peer->what - 1] = 0;
        dog->heard[about.MPI_SOURCE] = now;
        if (dog->in.reports) dog->quiet = now + quiet_lasts;
        MPI_Start(&dog->coming);
    }
}

/* A first note to and from everyone it goes to: Open MPI's connect() over TCP blocks, for two
 * minutes where the other host is cut off, so that connections are made before. */
static void meet(struct watchdog *dog)
{
    tell(dog, seconds_now(), false);
    for (int r = 0; r < dog->size; r++)
        while (dog->peers[r].known && r != dog->rank && dog->heard[r] == 0) {
            hear(dog, seconds_now());
            nanosleep(&(const struct timespec){0, 100000}, NULL);
        }
}

/* ---- judging ---- */

/* One line was said already. */
static void end_at_once(int number)
{
    (void)number;
    _exit(STATUS_INTERNAL);
}

/* A timer of its own: a process has one alarm, and transport_mpi.c's may be taken back meanwhile.
 */
static void abort_bound(void)
{
    const struct itimerspec wait = {.it_value = {.tv_sec = abort_lasts}};
    struct sigevent event;
    timer_t timer;
    memset(&event, 0, sizeof event);
    event.sigev_notify = SIGEV_SIGNAL;
    event.sigev_signo = SIGALRM;
    signal(SIGALRM, end_at_once);
    if (timer_create(CLOCK_MONOTONIC, &event, &timer) || timer_settime(timer, 0, &wait, NULL))
        alarm(abort_lasts);
}

/* By this thread, since the one that waits or works may be stuck itself. */
static void end_all(struct watchdog *dog, double now, const char *why)
{
    char line[WATCH_LINE_BYTES + 16];
    const int length = snprintf(line, sizeof line, "regard: %s\n", why);
    tell(dog, now, true);
    abort_bound();
    (void)!write(STDERR_FILENO, line, (size_t)length);
    nanosleep(&(const struct timespec){0, 200000000}, NULL); /* for mpirun to read the line */
    MPI_Abort(MPI_COMM_WORLD, STATUS_INTERNAL);
}

/* Long before the end, and before mpirun ends a run whose host is cut off: once a rank. */
static void warn(struct watchdog *dog, double patience)
{
    char line[WATCH_LINE_BYTES];
    const double least = patience / 4;
    bool anew = false;
    if (least < 1) return;
    for (int i = 0; i < dog->place; i++) /* an earlier watcher says it */
        if (dog->peers[dog->watchers[i]].silent < least) return;
    for (int r = 0; r < dog->size; r++) {
        const bool silent = dog->peers[r].known && dog->peers[r].silent > least;
        anew |= silent && !dog->named[r];
        if (dog->named[r] && !silent)
            log_line(LOG_WARNING, "rank %d (%s) is heard again", r, dog->peers[r].host);
        dog->named[r] = silent;
    }
    if (anew && watch_silent(dog->peers, dog->size, least / 2, line))
        log_line(LOG_WARNING, "nothing heard for %.3g s of %s", least, line);
}

/* Without a thread a rank may be silent for longer. */
static bool is_ending(const struct watchdog *dog)
{
    return dog->has_thread && signals_terminated();
}

/* After SIGTERM: longer than the longest time between two notes of a healthy rank, which in a very
 * large job is several seconds. */
static double silence_least(const struct watchdog *dog, double patience)
{
    const double longest = note_every(dog, patience) + 2 * look_every(patience);
    return fmin(patience, fmax(silence_at_end, 2 * longest));
}

static void judge(struct watchdog *dog, double now, double patience)
{
    char line[WATCH_LINE_BYTES];
    const bool watches = dog->place < dog->watcher_count;
    const double silence = is_ending(dog) ? silence_least(dog, patience) : patience;
    /* Ranks that are no watchers come last, and one by one. */
    const double late = watches ? 1.5 * dog->place : 4.5 + between(0.05 * dog->rank, 0, 5);
    for (int r = 0; r < dog->size; r++) dog->peers[r].silent = now - dog->heard[r];
    if (now < dog->quiet) return;
    for (int i = 0; !watches && i < dog->watcher_count; i++)
        if (dog->peers[dog->watchers[i]].silent < silence) return;
    warn(dog, patience);
    const struct watch_limits limits = {.patience = patience, .silence = silence, .late = late};
    if (watch_verdict(dog->peers, dog->size, &limits, line)) end_all(dog, now, line);
}

static void tick(struct watchdog *dog)
{
    pthread_mutex_lock(&dog->lock);
    const double patience = dog->patience;
    pthread_mutex_unlock(&dog->lock);
    const double now = seconds_now(), gap = now - dog->ticked;
    dog->ticked = now;
    hear(dog, now);
    /* A rank that was stopped itself, as a whole job may be, has waited for nobody in that time. */
    if (gap > patience / 4) {
        for (int r = 0; r < dog->size; r++) dog->heard[r] += gap;
        dog->progressed += gap;
    }
    self_look(dog, now, patience);
    if (now > dog->told + note_every(dog, patience)) tell(dog, now, false);
    judge(dog, now, patience);
}

/* ---- who calls: a thread, or the one thread there is ---- */

static void *thread_run(void *context)
{
    struct watchdog *dog = context;
    pthread_mutex_lock(&dog->lock);
    while (!dog->stopping) {
        const double pause = look_every(dog->patience);
        struct timespec until;
        pthread_mutex_unlock(&dog->lock);
        tick(dog);
        clock_gettime(CLOCK_MONOTONIC, &until);
        const long long end = until.tv_nsec + (long long)(pause * 1e9);
        until.tv_sec += (time_t)(end / 1000000000);
        until.tv_nsec = (long)(end % 1000000000);
        pthread_mutex_lock(&dog->lock);
        if (!dog->stopping) pthread_cond_timedwait(&dog->ends, &dog->lock, &until);
    }
    pthread_mutex_unlock(&dog->lock);
    return NULL;
}

static status thread_start(struct watchdog *dog)
{
    sigset_t most, before;
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&dog->ends, &attributes);
    pthread_condattr_destroy(&attributes);
    sigfillset(&most); /* signals are for the others, but the one that ends a call that hangs */
    sigdelset(&most, SIGALRM);
    pthread_sigmask(SIG_BLOCK, &most, &before);
    const int code = pthread_create(&dog->thread, NULL, thread_run, dog);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (code) FAIL(STATUS_INTERNAL, "cannot start the watchdog's thread: %s", strerror(code));
    dog->running = true;
    return NULL;
}

/* Without a thread: now and then, by the thread that may call MPI. */
static void tick_sometimes(void *context)
{
    struct watchdog *dog = context;
    if (!pthread_equal(pthread_self(), dog->main)) return;
    if (seconds_now() > dog->ticked + look_every(dog->patience)) tick(dog);
}

void watchdog_wait(struct watchdog *dog, const char *what)
{
    if (dog->size == 1) return;
    pthread_mutex_lock(&dog->lock);
    snprintf(dog->waits_for, sizeof dog->waits_for, "%s", what);
    dog->waited = seconds_now();
    dog->waited_notes = heartbeat_count();
    pthread_mutex_unlock(&dog->lock);
    if (!dog->has_thread) tick_sometimes(dog);
}

void watchdog_patience(struct watchdog *dog, double patience)
{
    pthread_mutex_lock(&dog->lock);
    dog->patience = patience;
    pthread_cond_broadcast(&dog->ends); /* the pause of before may be longer */
    pthread_mutex_unlock(&dog->lock);
}

status watchdog_open(MPI_Comm comm, const _Atomic int64_t *step, double patience,
                     struct watchdog **out)
{
    struct watchdog *dog = memory_allocate(sizeof *dog);
    int level = 0;
    const char *wish = getenv("REGARD_WATCHDOG");
    *out = dog;
    *dog = (struct watchdog){
        .comm = MPI_COMM_NULL, .step = step, .patience = patience, .main = pthread_self()};
    if (MPI_Comm_dup(comm, &dog->comm) != MPI_SUCCESS)
        FAIL(STATUS_INTERNAL, "MPI gives no communicator for the watchdog");
    MPI_Comm_rank(dog->comm, &dog->rank);
    MPI_Comm_size(dog->comm, &dog->size);
    const size_t size = (size_t)dog->size;
    dog->hosts = memory_allocate(size * WATCH_NAME_BYTES);
    dog->peers = memory_allocate(size * sizeof *dog->peers);
    dog->heard = memory_allocate(size * sizeof *dog->heard);
    dog->named = memory_allocate(size * sizeof *dog->named);
    dog->leaving = memory_allocate(size * sizeof *dog->leaving);
    dog->under_way = memory_allocate(size * sizeof *dog->under_way);
    dog->out = memory_allocate(size * sizeof *dog->out);
    pthread_mutex_init(&dog->lock, NULL);
    TRY(hosts_learn(dog));
    dog->ticked = dog->progressed = seconds_now();
    for (int r = 0; r < dog->size; r++) {
        dog->peers[r].host = dog->hosts + (size_t)r * WATCH_NAME_BYTES;
        snprintf(dog->peers[r].what, WATCH_NAME_BYTES, "start");
    }
    if (dog->size == 1) return NULL;
    watchers_choose(dog);
    requests_open(dog);
    meet(dog);
    for (int r = 0; r < dog->size; r++) dog->heard[r] = dog->ticked;
    MPI_Query_thread(&level);
    dog->has_thread = level >= MPI_THREAD_MULTIPLE && !(wish && !strcmp(wish, "polling"));
    if (dog->has_thread) return thread_start(dog);
    heartbeat_on_note(tick_sometimes, dog);
    return NULL;
}

/* MPI may still read a note that has not left: its memory is given up then, with the process. */
static void requests_close(struct watchdog *dog)
{
    bool left = true;
    MPI_Cancel(&dog->coming);
    MPI_Wait(&dog->coming, MPI_STATUS_IGNORE);
    MPI_Request_free(&dog->coming);
    for (int r = 0; r < dog->size; r++) {
        int there = 1;
        if (dog->leaving[r] == MPI_REQUEST_NULL) continue;
        if (dog->under_way[r]) MPI_Test(&dog->leaving[r], &there, MPI_STATUS_IGNORE);
        left = left && there;
        MPI_Request_free(&dog->leaving[r]);
    }
    if (left) free(dog->out);
}

void watchdog_close(struct watchdog *dog)
{
    if (!dog) return;
    if (dog->running) {
        pthread_mutex_lock(&dog->lock);
        dog->stopping = true;
        pthread_cond_broadcast(&dog->ends);
        pthread_mutex_unlock(&dog->lock);
        pthread_join(dog->thread, NULL);
        pthread_cond_destroy(&dog->ends);
    }
    heartbeat_on_note(NULL, NULL);
    if (dog->size > 1)
        requests_close(dog);
    else
        free(dog->out);
    if (dog->comm != MPI_COMM_NULL) MPI_Comm_free(&dog->comm);
    pthread_mutex_destroy(&dog->lock);
    free(dog->hosts);
    free(dog->peers);
    free(dog->heard);
    free(dog->named);
    free(dog->leaving);
    free(dog->under_way);
    free(dog);
}

const char *watchdog_host(const struct watchdog *dog, int rank)
{
    return dog->peers[rank].host;
}

bool watchdog_has_thread(const struct watchdog *dog)
{
    return dog->has_thread;
}
