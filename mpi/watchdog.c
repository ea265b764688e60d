/* See watchdog.h.  Every rank sends every other at most one note of each kind at a time; a note
 * that does not leave, since its receiver is gone, only stays where it is. */
#include "mpi/watchdog.h"

#include "src/base/clock.h"
#include "src/base/memory.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum note_kind {
    NOTE_ASK,    /* are you there? */
    NOTE_ANSWER, /* yes, and this is what I wait for */
    NOTE_REPORT, /* I shall say who is missing: say nothing */
    NOTE_KINDS
};

static const double report_settles = 0.5; /* for two ranks that report at once to notice */
static const double quiet_lasts = 5;      /* for the one that reports to end all ranks */

enum { NAME_BYTES = 64 };

struct note {
    int64_t step;
    char what[NAME_BYTES];
};

struct peer {
    char host[NAME_BYTES];
    double heard; /* seconds_now of its last note; 0: never */
    struct note said;
    struct note out[NOTE_KINDS];
    MPI_Request leaving[NOTE_KINDS];
};

struct watchdog {
    MPI_Comm comm;
    int rank, size;
    double asked;    /* seconds_now, 0: never */
    double since;    /* of the wait that `reported` belongs to */
    double reported; /* when this rank told others that it reports; 0: it has not */
    double quiet;    /* since when another one reports; 0: none does */
    struct peer *peers;
};

status watchdog_open(MPI_Comm comm, struct watchdog **out)
{
    struct watchdog *dog = memory_allocate(sizeof *dog);
    *out = dog;
    char name[NAME_BYTES] = "";
    gethostname(name, sizeof name - 1);
    if (MPI_Comm_dup(comm, &dog->comm) != MPI_SUCCESS)
        FAIL(STATUS_INTERNAL, "MPI gives no communicator for the watchdog");
    MPI_Comm_rank(dog->comm, &dog->rank);
    MPI_Comm_size(dog->comm, &dog->size);
    char *names = memory_allocate((size_t)dog->size * NAME_BYTES);
    dog->peers = memory_allocate((size_t)dog->size * sizeof *dog->peers);
    const int code =
        MPI_Allgather(name, NAME_BYTES, MPI_CHAR, names, NAME_BYTES, MPI_CHAR, dog->comm);
    for (int r = 0; r < dog->size; r++) {
        memcpy(dog->peers[r].host, names + (size_t)r * NAME_BYTES, NAME_BYTES);
        for (int k = 0; k < NOTE_KINDS; k++) dog->peers[r].leaving[k] = MPI_REQUEST_NULL;
    }
    free(names);
    if (code != MPI_SUCCESS) FAIL(STATUS_INTERNAL, "MPI cannot gather the hosts' names");
    return NULL;
}

void watchdog_close(struct watchdog *dog)
{
    if (!dog) return;
    for (int r = 0; dog->peers && r < dog->size; r++)
        for (int k = 0; k < NOTE_KINDS; k++)
            if (dog->peers[r].leaving[k] != MPI_REQUEST_NULL)
                MPI_Request_free(&dog->peers[r].leaving[k]);
    if (dog->comm != MPI_COMM_NULL) MPI_Comm_free(&dog->comm);
    free(dog->peers);
    free(dog);
}

const char *watchdog_host(const struct watchdog *dog, int rank)
{
    return dog->peers[rank].host;
}

static void note_send(struct watchdog *dog, int to, enum note_kind kind,
                      const struct waiting *waiting)
{
    struct peer *peer = &dog->peers[to];
    int left = 1;
    if (peer->leaving[kind] != MPI_REQUEST_NULL)
        MPI_Test(&peer->leaving[kind], &left, MPI_STATUS_IGNORE);
    if (!left) return;
    struct note *note = &peer->out[kind];
    memset(note, 0, sizeof *note);
    note->step = waiting->step;
    snprintf(note->what, sizeof note->what, "%s", waiting->what);
    MPI_Isend(note, sizeof *note, MPI_BYTE, to, (int)kind, dog->comm, &peer->leaving[kind]);
}

static void note_send_all(struct watchdog *dog, enum note_kind kind, const struct waiting *waiting)
{
    for (int r = 0; r < dog->size; r++)
        if (r != dog->rank) note_send(dog, r, kind, waiting);
}

/* Takes what has come, answers what asks. */
static void notes_receive(struct watchdog *dog, const struct waiting *waiting)
{
    for (;;) {
        int there = 0;
        MPI_Status about;
        if (MPI_Iprobe(MPI_ANY_SOURCE, MPI_ANY_TAG, dog->comm, &there, &about) != MPI_SUCCESS ||
            !there)
            return;
        struct peer *peer = &dog->peers[about.MPI_SOURCE];
        if (MPI_Recv(&peer->said, sizeof peer->said, MPI_BYTE, about.MPI_SOURCE, about.MPI_TAG,
                     dog->comm, MPI_STATUS_IGNORE) != MPI_SUCCESS)
            return;
        peer->said.what[NAME_BYTES - 1] = 0;
        peer->heard = seconds_now();
        if (about.MPI_TAG == NOTE_ASK) note_send(dog, about.MPI_SOURCE, NOTE_ANSWER, waiting);
        /* Of two that report at once, the lower rank does. */
        if (about.MPI_TAG == NOTE_REPORT && !dog->quiet &&
            (!dog->reported || about.MPI_SOURCE < dog->rank))
            dog->quiet = peer->heard;
    }
}

/* A text that is cut, not overrun. */
struct line {
    char text[1000];
    size_t length;
};

__attribute__((format(printf, 2, 3))) static void line_add(struct line *line, const char *format,
                                                           ...)
{
    const size_t left = sizeof line->text - line->length;
    va_list arguments;
    va_start(arguments, format);
    const int length = vsnprintf(line->text + line->length, left, format, arguments);
    va_end(arguments);
    if (length > 0) line->length += (size_t)length < left ? (size_t)length : left - 1;
}

static bool is_silent(const struct watchdog *dog, int rank, double least)
{
    return rank != dog->rank && dog->peers[rank].heard < least;
}

/* "rank 1 (hosta), ranks 4, 5 (hostc)": those from which no note came since `least`. */
static int silent_list(const struct watchdog *dog, double least, struct line *line)
{
    int silent = 0;
    for (int first = 0; first < dog->size; first++) {
        const char *host = dog->peers[first].host;
        bool listed = !is_silent(dog, first, least);
        for (int r = 0; r < first && !listed; r++)
            listed = is_silent(dog, r, least) && !strcmp(dog->peers[r].host, host);
        if (listed) continue;
        struct line numbers = {.length = 0};
        int count = 0;
        for (int r = first; r < dog->size; r++) {
            if (!is_silent(dog, r, least) || strcmp(dog->peers[r].host, host) != 0) continue;
            line_add(&numbers, "%s%d", count++ ? ", " : "", r);
        }
        line_add(line, "%srank%s %s (%s)", silent ? ", " : "", count > 1 ? "s" : "", numbers.text,
                 host);
        silent += count;
    }
    return silent;
}

static status report(const struct watchdog *dog, const struct waiting *waiting, double least)
{
    struct line line = {.length = 0};
    if (silent_list(dog, least, &line))
        FAIL(STATUS_INTERNAL,
             "%s did not come to %s at step %lld within %.3g s (watchdog.seconds): dead, stopped, "
             "cut off or too slow",
             line.text, waiting->what, (long long)waiting->step, waiting->patience);
    for (int r = 0; r < dog->size; r++)
        if (r != dog->rank)
            line_add(&line, "; rank %d (%s) waits for %s at step %lld", r, dog->peers[r].host,
                     dog->peers[r].said.what, (long long)dog->peers[r].said.step);
    FAIL(STATUS_INTERNAL,
         "rank %d (%s) waited %.3g s for %s at step %lld (watchdog.seconds), though every rank "
         "answers%s",
         dog->rank, dog->peers[dog->rank].host, waiting->patience, waiting->what,
         (long long)waiting->step, line.text);
}

status watchdog_poll(struct watchdog *dog, const struct waiting *waiting)
{
    if (dog->since != waiting->since) { /* what the report was about has come after all */
        dog->since = waiting->since;
        dog->reported = 0;
    }
    notes_receive(dog, waiting);
    const double now = seconds_now(), waited = now - waiting->since;
    if (dog->quiet && now < dog->quiet + quiet_lasts) return NULL;
    dog->quiet = 0; /* the other one had no need to end the ranks */
    if (waited > waiting->patience / 2 && now > dog->asked + waiting->patience / 8) {
        note_send_all(dog, NOTE_ASK, waiting);
        dog->asked = now;
    }
    if (waited <= waiting->patience) return NULL;
    if (!dog->reported) {
        note_send_all(dog, NOTE_REPORT, waiting);
        dog->reported = now;
    }
    if (now < dog->reported + report_settles) return NULL;
    const double recently = waiting->patience / 4;
    return report(dog, waiting, now - (recently > 1 ? recently : 1));
}
