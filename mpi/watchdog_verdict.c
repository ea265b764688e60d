/* See watchdog_verdict.h. */
#include "mpi/watchdog_verdict.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

/* A text that is cut, not overrun. */
struct line {
    char *text;
    size_t size, length;
};

__attribute__((format(printf, 2, 3))) static void line_add(struct line *line, const char *format,
                                                           ...)
{
    const size_t left = line->size - line->length;
    va_list arguments;
    va_start(arguments, format);
    const int length = vsnprintf(line->text + line->length, left, format, arguments);
    va_end(arguments);
    if (length > 0) line->length += (size_t)length < left ? (size_t)length : left - 1;
}

/* Which ranks are meant. */
struct sieve {
    double silent, idle; /* longer than that; below 0: no matter how long */
    bool working;        /* only those at work */
};

static bool is_meant(const struct watch_peer *peer, const struct sieve *sieve)
{
    return peer->known && peer->silent > sieve->silent && peer->idle > sieve->idle &&
           !(sieve->working && peer->waiting);
}

static bool same_words(const struct watch_peer *a, const struct watch_peer *b)
{
    return !strcmp(a->host, b->host) && a->step == b->step && a->waiting == b->waiting &&
           !strcmp(a->what, b->what);
}

static void group_add(struct line *line, const struct watch_peer *peers, int size, int first,
                      const struct sieve *sieve)
{
    char text[200] = "";
    struct line numbers = {text, sizeof text, 0};
    const struct watch_peer *of = &peers[first];
    int count = 0;
    for (int r = first; r < size; r++)
        if (is_meant(&peers[r], sieve) && same_words(&peers[r], of))
            line_add(&numbers, "%s%d", count++ ? ", " : "", r);
    line_add(line, "%srank%s %s (%s; %s %s at step %lld)", line->length ? ", " : "",
             count > 1 ? "s" : "", text, of->host, of->waiting ? "waiting for" : "in", of->what,
             (long long)of->step);
}

/* Those that are meant, of one host and with the same words together; gives how many. */
static int list_add(struct line *line, const struct watch_peer *peers, int size,
                    const struct sieve *sieve)
{
    int meant = 0;
    for (int first = 0; first < size; first++) {
        if (!is_meant(&peers[first], sieve)) continue;
        meant++;
        bool listed = line->length + 1 >= line->size; /* the rest is only counted */
        for (int r = 0; r < first && !listed; r++)
            listed = is_meant(&peers[r], sieve) && same_words(&peers[r], &peers[first]);
        if (!listed) group_add(line, peers, size, first, sieve);
    }
    return meant;
}

int watch_silent(const struct watch_peer *peers, int size, double least,
                 char text[WATCH_LINE_BYTES])
{
    struct line line = {text, WATCH_LINE_BYTES, 0};
    text[0] = 0;
    return list_add(&line, peers, size, &(struct sieve){.silent = least, .idle = -1});
}

static int count_of(const struct watch_peer *peers, int size, const struct sieve *sieve)
{
    int count = 0;
    for (int r = 0; r < size; r++) count += is_meant(&peers[r], sieve);
    return count;
}

bool watch_verdict(const struct watch_peer *peers, int size, const struct watch_limits *limits,
                   char text[WATCH_LINE_BYTES])
{
    char list[WATCH_LINE_BYTES - 200];
    struct line names = {list, sizeof list, 0};
    const double patience = limits->patience, longest = patience + limits->late;
    /* Ranks that were lost together were last heard up to a beat apart: half is enough for the
     * others. */
    const struct sieve lost = {.silent = limits->silence + limits->late, .idle = -1};
    const struct sieve with_them = {.silent = limits->silence / 2, .idle = -1};
    const struct sieve hung = {.silent = -1, .idle = longest, .working = true};
    const struct sieve still = {.silent = -1, .idle = longest};
    const struct sieve all = {.silent = -1, .idle = -1};
    list[0] = 0;
    if (count_of(peers, size, &lost)) {
        list_add(&names, peers, size, &with_them);
        snprintf(text, WATCH_LINE_BYTES,
                 "missing: %s: nothing heard for %.3g s (%s): stopped, dead or cut off", list,
                 limits->silence,
                 limits->silence < patience ? "after SIGTERM" : "watchdog.seconds");
        return true;
    }
    if (list_add(&names, peers, size, &hung)) {
        snprintf(text, WATCH_LINE_BYTES,
                 "hung: %s: alive, but no progress for %.3g s (watchdog.seconds)", list, patience);
        return true;
    }
    if (count_of(peers, size, &still) < count_of(peers, size, &all)) return false;
    list_add(&names, peers, size, &all);
    snprintf(text, WATCH_LINE_BYTES,
             "hung: every rank waits for another for %.3g s (watchdog.seconds): %s", patience,
             list);
    return true;
}
