/* See trace_file.h.  Rank 0 asks one rank after another, so that it holds the spans of one. */
#include "mpi/trace_file.h"

#include "mpi/transport_mpi.h"
#include "src/base/clock.h"
#include "src/base/file.h"
#include "src/base/json.h"
#include "src/base/log.h"
#include "src/base/memory.h"
#include "src/base/timeline.h"
#include "src/base/trace.h"

#include <stdlib.h>
#include <string.h>

enum { ROUNDS = 16, CLOCK_TAG = 3, ASK_TAG = 4, TRACE_TAG = 5 };
static const char clocks[] = "the comparison of clocks", traces[] = "the exchange of traces";
static const double spin = 2e-3; /* seconds: a wait that sleeps would be longer than the way */

/* A time to or from another rank, as quickly as it goes. */
static status number_pass(struct world *world, int with, bool send, double *number)
{
    MPI_Request request;
    struct transport_wait wait;
    const double begun = seconds_now();
    MPI_Comm comm = world->groups->messages;
    TRY(transport_check(send ? MPI_Isend(number, 1, MPI_DOUBLE, with, CLOCK_TAG, comm, &request)
                             : MPI_Irecv(number, 1, MPI_DOUBLE, with, CLOCK_TAG, comm, &request),
                        clocks));
    transport_wait_begin(&wait);
    for (;;) {
        int done;
        TRY(transport_check(MPI_Test(&request, &done, MPI_STATUS_IGNORE), clocks));
        if (done) return NULL;
        if (seconds_now() > begun + spin) transport_wait_more(world, &wait, clocks);
    }
}

/* Rank 0's part: it tells the other one the offset that the quickest round gives. */
static status clock_ask(struct world *world, int rank)
{
    double quickest = 1e9, offset = 0;
    for (int i = 0; i < ROUNDS; i++) {
        double its = 0;
        double mine = seconds_now();
        TRY(number_pass(world, rank, true, &mine));
        TRY(number_pass(world, rank, false, &its));
        const double took = seconds_now() - mine;
        if (took >= quickest) continue;
        quickest = took;
        offset = mine + took / 2 - its;
    }
    return number_pass(world, rank, true, &offset);
}

static status clock_answer(struct world *world, double *offset)
{
    for (int i = 0; i < ROUNDS; i++) {
        double its, mine;
        TRY(number_pass(world, 0, false, &its));
        mine = seconds_now();
        TRY(number_pass(world, 0, true, &mine));
    }
    return number_pass(world, 0, false, offset);
}

status clock_compare(struct world *world, struct clock_offset *out)
{
    status s = NULL;
    *out = (struct clock_offset){.offset = 0};
    TRY(world_barrier(world, clocks));
    for (int r = 1; !s && world->rank == 0 && r < world->size; r++) s = clock_ask(world, r);
    if (world->rank != 0) s = clock_answer(world, &out->offset);
    out->at = seconds_now();
    return s;
}

/* What a rank sends, its spans behind it. */
struct trace_head {
    int64_t count, lost;
    int32_t rank, learner, actor; /* its places among them, -1: none */
    char names[TRACE_TRACKS][TRACE_NAME];
};

static void names_print(const struct world *world, const struct trace_head *head, FILE *out)
{
    char text[256];
    snprintf(text, sizeof text, "rank %d (%s)", head->rank, world_host(world, head->rank));
    fprintf(out, "{\"ph\":\"M\",\"pid\":%d,\"tid\":0,\"name\":\"process_name\",\"args\":{\"name\":",
            head->rank);
    json_write_text(out, text);
    fputs("}},\n", out);
    for (int t = 0; t < TRACE_TRACKS && head->names[t][0]; t++) {
        const bool main_track = !strcmp(head->names[t], "main");
        snprintf(text, sizeof text, "%s%s%s%s", main_track && head->learner >= 0 ? "learner" : "",
                 main_track && head->learner >= 0 && head->actor >= 0 ? ", " : "",
                 main_track && head->actor >= 0 ? "actor" : "", main_track ? "" : head->names[t]);
        fprintf(out,
                "{\"ph\":\"M\",\"pid\":%d,\"tid\":%d,\"name\":\"thread_name\",\"args\":{\"name\":",
                head->rank, t);
        json_write_text(out, text);
        fputs("}},\n", out);
    }
}

static void spans_print(const struct trace_head *head, const struct trace_span *spans, double since,
                        FILE *out)
{
    for (int64_t i = 0; i < head->count; i++) {
        const struct trace_span *s = &spans[i];
        fprintf(out,
                "{\"ph\":\"X\",\"pid\":%d,\"tid\":%d,\"name\":\"%s\",\"ts\":%.3f,\"dur\":%.3f,"
                "\"args\":{\"step\":%lld,\"bytes\":%lld}},\n",
                head->rank, s->track, time_kind_name((enum time_kind)s->kind),
                1e6 * (s->begin - since), 1e6 * (s->end - s->begin), (long long)s->step,
                (long long)s->bytes);
    }
}

/* This rank's message, on rank 0's clock; the caller frees it. */
static char *trace_pack(const struct world *world, const struct clock_offset *first,
                        const struct clock_offset *last, size_t *size)
{
    struct trace_head head = {
        .rank = world->rank, .learner = world->roles.learner, .actor = world->roles.actor};
    struct trace_span *spans;
    head.count = trace_take(&spans, head.names, &head.lost);
    const double lasted = last->at - first->at;
    const double drift = lasted > 0 ? (last->offset - first->offset) / lasted : 0;
    for (int64_t i = 0; i < head.count; i++) {
        spans[i].begin += first->offset + drift * (spans[i].begin - first->at);
        spans[i].end += first->offset + drift * (spans[i].end - first->at);
    }
    *size = sizeof head + (size_t)head.count * sizeof *spans;
    char *message = memory_allocate(*size);
    memcpy(message, &head, sizeof head);
    memcpy(message + sizeof head, spans, (size_t)head.count * sizeof *spans);
    free(spans);
    return message;
}

static status rank_print(const struct world *world, const void *message, size_t size, double since,
                         FILE *out)
{
    struct trace_head head;
    if (size < sizeof head) FAIL(STATUS_INTERNAL, "a trace of %zu bytes", size);
    memcpy(&head, message, sizeof head);
    if (size != sizeof head + (size_t)head.count * sizeof(struct trace_span))
        FAIL(STATUS_INTERNAL, "a trace of %zu bytes is not of %lld spans", size,
             (long long)head.count);
    names_print(world, &head, out);
    spans_print(&head, (const struct trace_span *)((const char *)message + sizeof head), since,
                out);
    if (head.lost)
        log_line(LOG_WARNING, "--trace: the first %lld spans of rank %d are not kept",
                 (long long)head.lost, head.rank);
    return NULL;
}

static status rank_ask(struct world *world, int rank, void **message, size_t *size)
{
    struct sending *ask;
    int sender;
    TRY(world_send_begin(world, "", 1, rank, ASK_TAG, &ask));
    TRY(world_receive(world, TRACE_TAG, traces, message, size, &sender));
    return world_send_finish(world, ask, traces);
}

static status ranks_print(struct world *world, char *mine, size_t bytes, double since, FILE *out)
{
    fputs("{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n", out);
    TRY(rank_print(world, mine, bytes, since, out));
    for (int r = 1; r < world->size; r++) {
        void *message;
        size_t size;
        TRY(rank_ask(world, r, &message, &size));
        status s = rank_print(world, message, size, since, out);
        free(message);
        TRY(s);
    }
    fputs("{\"ph\":\"M\",\"pid\":0,\"tid\":0,\"name\":\"process_sort_index\",\"args\":"
          "{\"sort_index\":0}}]}\n",
          out);
    return NULL;
}

static status message_send(struct world *world, const char *mine, size_t bytes)
{
    void *asked;
    size_t size;
    int sender;
    struct sending *sending;
    TRY(world_receive(world, ASK_TAG, traces, &asked, &size, &sender));
    free(asked);
    TRY(world_send_begin(world, mine, bytes, 0, TRACE_TAG, &sending));
    return world_send_finish(world, sending, traces);
}

status trace_file_write(struct world *world, const struct clock_offset *first, const char *run)
{
    char path[1100];
    size_t bytes;
    struct clock_offset last;
    struct file_writer writer;
    TRY(clock_compare(world, &last));
    char *mine = trace_pack(world, first, &last, &bytes);
    trace_close();
    snprintf(path, sizeof path, "%s/trace.json", run);
    status s = NULL;
    if (world->rank == 0) s = file_begin(&writer, path);
    s = world_agree(world, s);
    if (!s && world->rank != 0) s = message_send(world, mine, bytes);
    if (!s && world->rank == 0) {
        s = ranks_print(world, mine, bytes, first->at, writer.stream);
        if (!s) s = file_commit(&writer);
        file_abandon(&writer);
        if (!s) log_line(LOG_INFO, "%s: for https://ui.perfetto.dev", path);
    }
    free(mine);
    return s;
}
