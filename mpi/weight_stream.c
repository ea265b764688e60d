/* See weight_stream.h.  A slot holds a version; `arrived` of a bucket and `complete` of the slot
 * are the version's number + 1 once it is there: whoever reads them so sees what was written
 * before. */
#include "mpi/weight_stream.h"

#include "mpi/host_memory.h"
#include "src/base/block_sum.h"
#include "src/base/file.h"
#include "src/base/heartbeat.h"
#include "src/base/log.h"
#include "src/base/memory.h"
#include "src/base/progress.h"
#include "src/base/timeline.h"
#include "src/base/traffic.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    BUCKET = 1 << 18, /* floats, 1 MiB: checked while it is in a core's cache */
    WINDOW = 16,      /* MPI's calls under way at a time */
    LINE = 64         /* bytes */
};

static const uint32_t stream_magic = 0x57474553; /* "SEGW" */
static const char what[] = "the stream of weights";

/* Before a bucket's floats.  version -1: no version follows. */
struct bucket_head {
    int64_t version, bucket;
    uint64_t checksum; /* block_sum of the floats */
};

struct slot_head {
    uint32_t magic;
    uint32_t checksum; /* CRC32C of the header with this field 0 */
    int64_t version, count, other_checksum;
};

struct slot {
    _Atomic int64_t *complete;
    struct slot_head *head; /* `other` bytes behind it */
    char *other;
    struct bucket_head *heads; /* [buckets] */
    _Atomic int64_t *arrived;  /* [buckets] */
    _Atomic int64_t *checked;  /* [buckets] by a rank of this host: see claimed() and whole() */
    float *values;             /* [size] */
};

/* Where the exchange between hosts stands: parts 0 to 2 buckets of a version are the head and the
 * floats of each bucket in turn, then the slot's head.  Part 0 goes by itself, so that nobody waits
 * for more than it when no version follows. */
struct link {
    int64_t version;
    int64_t posted, done; /* parts */
    MPI_Request requests[WINDOW];
    struct bucket_head end; /* what says that no version follows */
    bool begun, ending, ended;
};

struct weight_stream {
    struct world *world;
    struct queue *queue;
    struct weight_stream_settings settings;
    int64_t buckets;
    struct transport_hosts hosts;
    void *memory;
    size_t bytes;
    bool shared;
    _Atomic int64_t
        *taken; /* [ranks of the host], a line apart: by each, the version's number + 1 */
    struct slot *slots;
    int64_t version; /* the next to be published or taken */
    int64_t *filled; /* learner 0: [buckets] floats of that version that are there */
    bool begun;      /* learner 0: its slot is free */
    struct link link;
    status error; /* of ready and poll */
};

static bool sends(const struct weight_stream *s)
{
    return s->world->rank == 0;
}

static bool links(const struct weight_stream *s)
{
    return s->hosts.rank == 0 && s->hosts.hosts > 1;
}

/* ---- memory ---- */

static size_t lines(size_t bytes)
{
    return (bytes + LINE - 1) / LINE * LINE;
}

static int64_t buckets_of(const struct weight_stream_settings *settings)
{
    return (settings->size + BUCKET - 1) / BUCKET;
}

static size_t slot_bytes(const struct weight_stream_settings *s)
{
    const size_t buckets = (size_t)buckets_of(s);
    return LINE + lines(sizeof(struct slot_head) + (size_t)s->other) +
           lines(buckets * sizeof(struct bucket_head)) +
           2 * lines(buckets * sizeof(_Atomic int64_t)) + lines((size_t)s->size * sizeof(float));
}

int64_t weight_stream_bytes(const struct weight_stream_settings *settings)
{
    return (int64_t)slot_bytes(settings) * settings->slots;
}

static struct slot slot_at(char *at, const struct weight_stream_settings *s)
{
    const size_t buckets = (size_t)buckets_of(s);
    struct slot slot = {.complete = (_Atomic int64_t *)at};
    at += LINE;
    slot.head = (struct slot_head *)at;
    slot.other = at + sizeof *slot.head;
    at += lines(sizeof *slot.head + (size_t)s->other);
    slot.heads = (struct bucket_head *)at;
    at += lines(buckets * sizeof *slot.heads);
    slot.arrived = (_Atomic int64_t *)at;
    at += lines(buckets * sizeof *slot.arrived);
    slot.checked = (_Atomic int64_t *)at;
    at += lines(buckets * sizeof *slot.checked);
    slot.values = (float *)at;
    return slot;
}

static _Atomic int64_t *taken_by(const struct weight_stream *s, int rank)
{
    return s->taken + (size_t)rank * (LINE / sizeof *s->taken);
}

static struct slot *slot_of(const struct weight_stream *s, int64_t version)
{
    return &s->slots[version % s->settings.slots];
}

/* By one of the ranks whose host has no room to share. */
static void shortage_tell(const struct weight_stream *s, int error)
{
    const double bytes = (double)weight_stream_bytes(&s->settings);
    char host[256] = "this host";
    gethostname(host, sizeof host - 1);
    log_line(
        LOG_WARNING,
        "/dev/shm of %s has no %.1f MB for weights on their way (%s; %.1f MB are free): each rank "
        "of every host holds %.1f MB by itself instead, %.1f MB on this host; mount it larger "
        "(mount -o remount,size=...; a container: --shm-size) or lower pipeline.lag",
        host, bytes * 1e-6, strerror(error), (double)host_memory_free() * 1e-6, bytes * 1e-6,
        (double)s->hosts.size * bytes * 1e-6);
}

/* Who shares: the ranks of a host, or each rank by itself. */
static status memory_open(struct weight_stream *s)
{
    int error;
    TRY(transport_hosts(s->world, s->settings.host, &s->hosts));
    s->bytes = (size_t)s->hosts.size * LINE + (size_t)weight_stream_bytes(&s->settings);
    TRY(host_memory_open(s->world, s->hosts.host, s->bytes, &s->memory, &error));
    s->shared = s->memory != NULL;
    /* On all hosts or none: who is a head follows from it. */
    int lacks = s->shared ? 0 : s->world->rank + 1;
    MPI_Request request;
    TRY(transport_check(MPI_Iallreduce(MPI_IN_PLACE, &lacks, 1, MPI_INT, MPI_MAX,
                                       s->world->groups->weights, &request),
                        what));
    TRY(transport_wait_all(s->world, &request, 1, what));
    if (!lacks) return NULL;
    if (lacks == s->world->rank + 1) shortage_tell(s, error);
    if (s->shared) host_memory_close(s->memory, s->bytes);
    s->shared = false;
    transport_hosts_free(&s->hosts);
    TRY(transport_hosts(s->world, s->world->rank, &s->hosts));
    s->bytes = LINE + (size_t)weight_stream_bytes(&s->settings);
    s->memory = memory_allocate(s->bytes);
    return NULL;
}

/* ---- between hosts ---- */

static int64_t bucket_size(const struct weight_stream *s, int64_t bucket)
{
    const int64_t left = s->settings.size - bucket * BUCKET;
    return left < BUCKET ? left : BUCKET;
}

/* Every rank of this host that generates has taken what the slot of the version holds, and the
 * other hosts have it. */
static bool slot_free(const struct weight_stream *s, int64_t version)
{
    const int64_t before = version - s->settings.slots;
    if (before < s->settings.first) return true;
    if (sends(s) && links(s) && s->link.version <= before) return false;
    for (int rank = sends(s) ? 1 : 0; rank < s->hosts.size; rank++)
        if (atomic_load_explicit(taken_by(s, rank), memory_order_acquire) <= before) return false;
    return true;
}

static int64_t parts(const struct weight_stream *s)
{
    return 2 * s->buckets + 1;
}

/* Whether this part of the version can go: to be sent it must be there, to be received have room.
 */
static bool part_due(const struct weight_stream *s, int64_t part)
{
    const struct link *link = &s->link;
    const struct slot *slot = slot_of(s, link->version);
    const int64_t mark = link->version + 1;
    if (part >= parts(s) || link->ended) return false;
    if (part > 0 && link->done == 0) return false;
    if (!sends(s)) return part == 0 || slot_free(s, link->version);
    if (link->version == s->version && link->ending) return part == 0;
    if (link->version > s->version || (link->version == s->version && !s->begun)) return false;
    return atomic_load(part + 1 < parts(s) ? &slot->arrived[part / 2] : slot->complete) == mark;
}

static status part_post(struct weight_stream *s, int64_t part)
{
    struct link *link = &s->link;
    struct slot *slot = slot_of(s, link->version);
    if (part == 1 && !sends(s)) slot->heads[0] = link->end; /* the slot is free now */
    void *data = &slot->heads[part / 2];
    size_t bytes = sizeof *slot->heads;
    if (part + 1 == parts(s)) {
        data = slot->head;
        bytes = sizeof *slot->head + (size_t)s->settings.other;
    } else if (part % 2) {
        data = slot->values + part / 2 * BUCKET;
        bytes = (size_t)bucket_size(s, part / 2) * sizeof(float);
    }
    if (part == 0 && (!sends(s) || (link->ending && link->version == s->version))) {
        if (sends(s)) link->end = (struct bucket_head){.version = -1};
        data = &link->end;
    }
    return transport_check(
        MPI_Ibcast(data, (int)bytes, MPI_BYTE, 0, s->hosts.heads, &link->requests[part % WINDOW]),
        what);
}

static void part_finish(struct weight_stream *s, int64_t part)
{
    struct link *link = &s->link;
    struct slot *slot = slot_of(s, link->version);
    const int64_t mark = link->version + 1;
    if (part == 0) {
        link->ended = link->end.version == -1 && (!sends(s) || link->ending);
        return;
    }
    if (!sends(s) && part + 1 == parts(s))
        atomic_store_explicit(slot->complete, mark, memory_order_release);
    else if (!sends(s) && part % 2)
        atomic_store_explicit(&slot->arrived[part / 2], mark, memory_order_release);
    if (part + 1 < parts(s)) return;
    link->version++;
    link->posted = 0;
}

static status link_move(struct weight_stream *s)
{
    struct link *link = &s->link;
    for (;;) {
        while (link->posted < link->done + WINDOW && part_due(s, link->posted)) {
            TRY(part_post(s, link->posted));
            link->posted++;
        }
        if (link->done == link->posted) return NULL;
        int there = 0;
        TRY(transport_check(
            MPI_Test(&link->requests[link->done % WINDOW], &there, MPI_STATUS_IGNORE), what));
        if (!there) return NULL;
        part_finish(s, link->done++);
        if (link->posted == 0) link->done = 0;
    }
}

void weight_stream_poll(struct weight_stream *s)
{
    if (!links(s) || s->error || !s->link.begun || s->link.ended) return;
    s->error = link_move(s);
}

static void poll(void *stream)
{
    weight_stream_poll(stream);
}

status weight_stream_open(struct world *world, struct queue *queue,
                          const struct weight_stream_settings *settings, struct weight_stream **out)
{
    struct weight_stream *s = memory_allocate(sizeof *s);
    *out = s;
    s->world = world;
    s->queue = queue;
    s->settings = *settings;
    s->buckets = buckets_of(settings);
    s->version = s->link.version = settings->first;
    s->hosts = (struct transport_hosts){.host = MPI_COMM_NULL, .heads = MPI_COMM_NULL};
    TRY(memory_open(s));
    s->taken = s->memory;
    s->slots = memory_allocate((size_t)settings->slots * sizeof *s->slots);
    char *at = (char *)s->memory + (size_t)s->hosts.size * LINE;
    for (int64_t i = 0; i < settings->slots; i++)
        s->slots[i] = slot_at(at + (size_t)i * slot_bytes(settings), settings);
    if (links(s)) progress_set(poll, s);
    if (sends(s)) s->filled = memory_allocate((size_t)s->buckets * sizeof *s->filled);
    return NULL;
}

void weight_stream_close(struct weight_stream *s)
{
    if (!s) return;
    progress_set(NULL, NULL);
    if (s->shared)
        host_memory_close(s->memory, s->bytes);
    else
        free(s->memory);
    if (!world_is_broken(s->world)) transport_hosts_free(&s->hosts);
    status_free(s->error);
    free(s->slots);
    free(s->filled);
    free(s);
}

static status error_take(struct weight_stream *s)
{
    status error = s->error;
    s->error = NULL;
    return error;
}

/* Moves on, and waits a little: between tests of something that others bring about. */
static status wait_more(struct weight_stream *s, struct transport_wait *wait)
{
    weight_stream_poll(s);
    TRY(error_take(s));
    if (links(s) || s->hosts.size > 1) {
        transport_wait_more(s->world, wait, what);
        return NULL;
    }
    FAIL(STATUS_INTERNAL, "rank %d waits for weights that nobody sends", s->world->rank);
}

static status version_check(const struct weight_stream *s, int64_t version)
{
    if (version == s->version) return NULL;
    FAIL(STATUS_INTERNAL, "rank %d: weights of update %lld come next, not %lld", s->world->rank,
         (long long)s->version, (long long)version);
}

/* ---- learner 0 ---- */

/* Waits for the slot of the next version. */
static status version_begin(struct weight_stream *s)
{
    struct transport_wait wait;
    if (s->begun) return NULL;
    s->link.begun = true;
    transport_wait_begin(&wait);
    while (!slot_free(s, s->version)) TRY(wait_more(s, &wait));
    s->begun = true;
    return NULL;
}

/* Floats [begin, end) of one bucket, to its place; the checksum where that is all of it. */
static status floats_fill(const struct weight_stream *s, const struct slot *slot,
                          const float *values, int64_t begin, int64_t end, uint64_t *checksum)
{
    const size_t bytes = (size_t)(end - begin) * sizeof *values;
    if (s->queue->on_host) {
        *checksum = block_sum_copy(slot->values + begin, values + begin, bytes);
        return NULL;
    }
    s->queue->op->download(s->queue, slot->values + begin, values + begin, bytes);
    TRY(s->queue->op->synchronize(s->queue));
    *checksum = block_sum(slot->values + begin, bytes);
    return NULL;
}

static status bucket_fill(struct weight_stream *s, int64_t bucket, const float *values,
                          int64_t begin, int64_t end)
{
    struct slot *slot = slot_of(s, s->version);
    const int64_t size = bucket_size(s, bucket);
    uint64_t checksum;
    TRY(floats_fill(s, slot, values, begin, end, &checksum));
    s->filled[bucket] += end - begin;
    if (s->filled[bucket] < size) return NULL;
    if (end - begin < size)
        checksum = block_sum(slot->values + bucket * BUCKET, (size_t)size * sizeof *values);
    slot->heads[bucket] =
        (struct bucket_head){.version = s->version, .bucket = bucket, .checksum = checksum};
    atomic_store_explicit(&slot->arrived[bucket], s->version + 1, memory_order_release);
    weight_stream_poll(s);
    return error_take(s);
}

static status range_fill(struct weight_stream *s, const float *values, int64_t begin, int64_t end)
{
    TRY(version_begin(s));
    while (begin < end) {
        const int64_t bucket = begin / BUCKET, edge = (bucket + 1) * BUCKET;
        const int64_t part = end < edge ? end : edge;
        TRY(bucket_fill(s, bucket, values, begin, part));
        begin = part;
    }
    return NULL;
}

void weight_stream_ready(struct weight_stream *s, const float *values, int64_t begin, int64_t end)
{
    if (s->error) return;
    timeline_begin(TIME_SEND);
    s->error = range_fill(s, values, begin, end);
    timeline_end();
}

static uint32_t head_checksum(struct slot_head head)
{
    head.checksum = 0;
    return crc32c(0, &head, sizeof head);
}

status weight_stream_publish(struct weight_stream *s, int64_t version, const float *values,
                             const void *other)
{
    TRY(error_take(s));
    TRY(version_check(s, version));
    TRY(version_begin(s));
    for (int64_t b = 0; b < s->buckets; b++) {
        if (s->filled[b] == bucket_size(s, b)) continue;
        s->filled[b] = 0; /* a part of it, if any, comes again: it is the same */
        TRY(range_fill(s, values, b * BUCKET, b * BUCKET + bucket_size(s, b)));
    }
    struct slot *slot = slot_of(s, s->version);
    const size_t bytes = (size_t)s->settings.other;
    memcpy(slot->other, other, bytes);
    *slot->head = (struct slot_head){.magic = stream_magic,
                                     .version = s->version,
                                     .count = s->settings.size,
                                     .other_checksum = crc32c(0, other, bytes)};
    slot->head->checksum = head_checksum(*slot->head);
    atomic_store_explicit(slot->complete, s->version + 1, memory_order_release);
    memset(s->filled, 0, (size_t)s->buckets * sizeof *s->filled);
    s->version++;
    s->begun = false;
    weight_stream_poll(s);
    return error_take(s);
}

/* ---- actors ---- */

static status await(struct weight_stream *s, const _Atomic int64_t *mark)
{
    struct transport_wait wait;
    transport_wait_begin(&wait);
    while (atomic_load_explicit(mark, memory_order_acquire) != s->version + 1)
        TRY(wait_more(s, &wait));
    return NULL;
}

/* What slot.checked says of a bucket of the version that is due: a rank is at it, then it is as
 * learner 0 sent it.  Less: it is of a version before. */
static int64_t claimed(const struct weight_stream *s)
{
    return 2 * (s->version + 1);
}

static int64_t whole(const struct weight_stream *s)
{
    return claimed(s) + 1;
}

static status bucket_check(struct weight_stream *s, const struct slot *slot, int64_t bucket)
{
    const struct bucket_head *head = &slot->heads[bucket];
    const size_t bytes = (size_t)bucket_size(s, bucket) * sizeof *slot->values;
    if (head->version != s->version || head->bucket != bucket ||
        head->checksum != block_sum(slot->values + bucket * BUCKET, bytes))
        FAIL(STATUS_INTERNAL,
             "rank %d: weights of update %lld from rank 0: bucket %lld of %lld is damaged",
             s->world->rank, (long long)s->version, (long long)bucket + 1, (long long)s->buckets);
    atomic_store_explicit(&slot->checked[bucket], whole(s), memory_order_release);
    return NULL;
}

/* Checks the buckets from *first on that are there and that no rank of this host is at; *first: the
 * first one that is left.  *found: whether there was any. */
static status arrived_check(struct weight_stream *s, const struct slot *slot, int64_t *first,
                            bool *found)
{
    *found = false;
    for (int64_t b = *first; b < s->buckets; b++) {
        int64_t was = atomic_load_explicit(&slot->checked[b], memory_order_relaxed);
        if (was < claimed(s) &&
            atomic_load_explicit(&slot->arrived[b], memory_order_acquire) == s->version + 1 &&
            atomic_compare_exchange_strong(&slot->checked[b], &was, claimed(s))) {
            TRY(bucket_check(s, slot, b));
            weight_stream_poll(s); /* more come meanwhile */
            *found = true;
            was = whole(s);
        }
        if (b == *first && was >= claimed(s)) ++*first;
    }
    return NULL;
}

/* As they come, each by one rank of this host.  One that another began and has not found to be
 * whole by the end is checked here too: nobody waits for a rank that stands still.  Reading is
 * faster than writing, so a rank sleeps until there are several (the wait is begun once): who
 * looked all the time would take a core from who writes. */
static status buckets_check(struct weight_stream *s, const struct slot *slot)
{
    struct transport_wait wait;
    int64_t first = 0;
    transport_wait_begin(&wait);
    while (first < s->buckets) {
        bool found;
        TRY(arrived_check(s, slot, &first, &found));
        if (found)
            heartbeat_note();
        else if (first < s->buckets)
            TRY(wait_more(s, &wait));
    }
    for (int64_t b = 0; b < s->buckets; b++)
        if (atomic_load_explicit(&slot->checked[b], memory_order_acquire) < whole(s))
            TRY(bucket_check(s, slot, b));
    return NULL;
}

static status head_check(const struct weight_stream *s, const struct slot *slot)
{
    const struct slot_head *head = slot->head;
    if (head->magic != stream_magic || head_checksum(*head) != head->checksum ||
        crc32c(0, slot->other, (size_t)s->settings.other) != (uint32_t)head->other_checksum)
        FAIL(STATUS_INTERNAL, "rank %d: weights from rank 0 with a damaged header, update %lld due",
             s->world->rank, (long long)s->version);
    if (head->count != s->settings.size)
        FAIL(STATUS_INTERNAL, "rank %d: rank 0 sent %lld weights, this model has %lld",
             s->world->rank, (long long)head->count, (long long)s->settings.size);
    if (head->version != s->version)
        FAIL(STATUS_INTERNAL, "rank %d: rank 0 sent weights of update %lld, %lld was due",
             s->world->rank, (long long)head->version, (long long)s->version);
    return NULL;
}

bool weight_stream_there(struct weight_stream *s)
{
    s->link.begun = true;
    weight_stream_poll(s);
    const _Atomic int64_t *complete = slot_of(s, s->version)->complete;
    return s->error || atomic_load_explicit(complete, memory_order_acquire) == s->version + 1;
}

status weight_stream_take(struct weight_stream *s, int64_t version, const float **values,
                          const void **other)
{
    TRY(version_check(s, version));

    const struct slot *slot = slot_of(s, s->version);
    s->link.begun = true;
    TRY(error_take(s));
    TRY(buckets_check(s, slot));
    TRY(await(s, slot->complete));
    TRY(head_check(s, slot));
    traffic_add(TRAFFIC_WEIGHTS, s->settings.size * (int64_t)sizeof(float) + s->settings.other);
    *values = slot->values;
    *other = slot->other;
    return NULL;
}

void weight_stream_taken(struct weight_stream *s)
{
    atomic_store_explicit(taken_by(s, s->hosts.rank), ++s->version, memory_order_release);
    weight_stream_poll(s);
}

/* An actor that is head of a host receives what was published and is not wanted any more. */
status weight_stream_end(struct weight_stream *s)
{
    struct transport_wait wait;
    TRY(error_take(s));
    /* This rank's slots are free from now on: it may have left more versions than there are. */
    atomic_store_explicit(taken_by(s, s->hosts.rank), INT64_MAX, memory_order_release);
    if (!links(s)) return NULL;
    s->link.begun = s->link.ending = true;
    transport_wait_begin(&wait);
    while (!s->link.ended) TRY(wait_more(s, &wait));
    return NULL;
}
