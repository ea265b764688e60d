/* See events.h.  Every rank is a little program whose operations follow one another (rank_next);
 * the engine knows work, meetings and batches.  Where nothing is shared and nothing moves, a rank's
 * work ends when it ends, and ranks are taken in any order; else events are taken in the order of
 * time, by a heap. */
#include "src/plan/events.h"

#include "src/base/memory.h"
#include "src/base/philox.h"
#include "src/base/slices.h"

#include <math.h>
#include <stdlib.h>

enum meeting { MEET_WEIGHTS, MEET_GATHER, MEET_SUM, MEET_SAVE, MEET_AGREE, MEETINGS };

/* What a rank does next. */
enum place {
    AT_WEIGHTS, /* X */
    AT_REFRESH,
    AT_PART, /* what is generated next */
    AT_ASK,
    AT_GENERATE,
    AT_SEND,
    AT_RECEIVE,
    AT_GATHER,
    AT_LEARN,
    AT_SUM,
    AT_COPY,
    AT_APPLY,
    AT_STEP,
    AT_SAVE,
    AT_EVALUATE,
    AT_AGREE,
    AT_END
};

struct rank {
    double now;         /* its clock */
    double left, since; /* of its work, where it is shared: seconds left at that time */
    int64_t step;       /* < 0: a batch generated before the first */
    enum place at;
    enum time_kind kind; /* of what it is in */
    const struct sharing *load;
    bool works;
    /* What it generates. */
    int64_t first, dialogues;
    double seconds;
    int64_t asked; /* actors that had nothing left of the batch */
    int64_t waits; /* for this version; 0: for none */
};

/* What an actor has not begun of a batch, as in mpi/stealing.c. */
struct row {
    int64_t batch;             /* -1: none yet */
    int64_t first, end, whole; /* whole: parts of full size that were taken */
};

struct event {
    double at;
    int64_t order;         /* of equal times, the first made */
    int64_t rank, version; /* rank < 0: host -1 - rank, at its version */
};

struct host {
    double now;
    int64_t working, version;
};

struct arrival { /* a batch at a learner */
    int64_t due; /* dialogues */
    double last;
    bool waits;
};

struct engine {
    const struct schedule *s;
    int64_t size, hosts, ranks_a_host, dialogues, parts;
    bool ordered; /* events come in the order of time */
    struct rank *ranks;
    struct host *host;
    struct event *heap;
    int64_t count, capacity, orders;
    struct {
        int64_t members, came;
        double last;
    } meeting[MEETINGS];
    int64_t *members[MEETINGS]; /* those that came */
    double *came[MEETINGS];     /* and when */
    struct arrival *arrivals;   /* [slots, learners] of batches under way */
    struct row *rows;           /* [slots, actors] of these */
    int64_t slots;
    bool ahead;          /* actors wait for weights, in no agreement */
    double *published;   /* [steps + 1] when a version was there; < 0: not yet */
    double begun, ended; /* of the steps that are counted */
    double (*spent)[TIME_KINDS];
};

static bool is_learner(const struct engine *e, int64_t rank)
{
    return rank < e->s->learners;
}

static bool is_actor(const struct engine *e, int64_t rank)
{
    return e->s->both || rank >= e->s->learners;
}

static int64_t actor_of(const struct engine *e, int64_t rank)
{
    return e->s->both ? rank : rank - e->s->learners;
}

static bool event_before(const struct event *a, const struct event *b)
{
    return a->at != b->at ? a->at < b->at : a->order < b->order;
}

/* In the order of time, or the last made first. */
static void event_add(struct engine *e, double at, int64_t rank, int64_t version)
{
    if (e->count == e->capacity) {
        e->capacity = e->capacity ? 2 * e->capacity : 1024;
        e->heap = memory_resize(e->heap, (size_t)e->capacity * sizeof *e->heap);
    }
    struct event one = {at, e->orders++, rank, version};
    int64_t i = e->count++;
    for (; e->ordered && i && event_before(&one, &e->heap[(i - 1) / 2]); i = (i - 1) / 2)
        e->heap[i] = e->heap[(i - 1) / 2];
    e->heap[i] = one;
}

static struct event event_take(struct engine *e)
{
    if (!e->ordered) return e->heap[--e->count];
    const struct event first = e->heap[0], last = e->heap[--e->count];
    int64_t i = 0;
    for (int64_t child; (child = 2 * i + 1) < e->count; i = child) {
        if (child + 1 < e->count && event_before(&e->heap[child + 1], &e->heap[child])) child++;
        if (!event_before(&e->heap[child], &last)) break;
        e->heap[i] = e->heap[child];
    }
    e->heap[i] = last;
    return first;
}

/* Seconds of a rank on one kind of work, those before the counted steps left out. */
static void spend(struct engine *e, int64_t rank, enum time_kind kind, double seconds)
{
    if (e->ranks[rank].step >= e->s->skip) e->spent[rank][kind] += seconds;
}

/* A rank is at its next event. */
static void goes_on(struct engine *e, int64_t rank, double at)
{
    e->ranks[rank].now = at;
    event_add(e, at, rank, 0);
}

static bool is_shared(const struct sharing *load)
{
    return load->cores > 0 || load->count > 0;
}

/* Of each of k ranks that work at once. */
static double speed_of(const struct sharing *load, int64_t k)
{
    const int64_t most = load->count;
    if (!most) return fmin(1, load->cores / (double)k);
    return k <= most ? load->speed[k - 1] : load->speed[most - 1] * (double)most / (double)k;
}

/* What the ranks of a host have done since it was looked at last. */
static void host_catch_up(struct engine *e, int64_t h, double now)
{
    struct host *host = &e->host[h];
    for (int64_t r = h * e->ranks_a_host; r < (h + 1) * e->ranks_a_host && r < e->size; r++) {
        struct rank *one = &e->ranks[r];
        if (one->works) one->left -= (now - host->now) * speed_of(one->load, host->working);
    }
    host->now = now;
}

/* The rank of a host that is done first, and when. */
static int64_t host_first(const struct engine *e, int64_t h, double *seconds)
{
    int64_t first = -1;
    *seconds = INFINITY;
    for (int64_t r = h * e->ranks_a_host; r < (h + 1) * e->ranks_a_host && r < e->size; r++) {
        const struct rank *one = &e->ranks[r];
        if (!one->works) continue;
        const double own = fmax(one->left, 0) / speed_of(one->load, e->host[h].working);
        if (own < *seconds) {
            *seconds = own;
            first = r;
        }
    }
    return first;
}

/* The event at which the first of a host's ranks is done. */
static void host_plan(struct engine *e, int64_t h)
{
    struct host *host = &e->host[h];
    double seconds;
    host->version++;
    if (host_first(e, h, &seconds) < 0) return;
    event_add(e, host->now + seconds, -1 - h, host->version);
}

/* A rank's own work; true where it is done at once. */
static bool work(struct engine *e, int64_t rank, enum time_kind kind, const struct sharing *load,
                 double seconds)
{
    struct rank *r = &e->ranks[rank];
    if (seconds <= 0) return true;
    if (load == &e->s->device && rank == e->size - 1 && e->s->slowest > 0) seconds *= e->s->slowest;
    if (!is_shared(load)) {
        spend(e, rank, kind, seconds);
        if (e->ordered)
            goes_on(e, rank, r->now + seconds);
        else
            r->now += seconds;
        return !e->ordered;
    }
    const int64_t h = rank / e->ranks_a_host;
    host_catch_up(e, h, r->now);
    e->host[h].working++;
    r->works = true;
    r->left = seconds;
    r->load = load;
    r->since = r->now;
    r->kind = kind;
    host_plan(e, h);
    return false;
}

/* A batch's factor for a rank's time. */
static double pace_of(const struct engine *e, int64_t rank, int64_t batch, bool learns)
{
    const uint32_t counter[4] = {(uint32_t)rank, (uint32_t)batch, (uint32_t)(batch >> 32), learns};
    return e->s->jitter > 0 ? philox_jitter(e->s->jitter, e->s->seed, counter) : 1;
}

/* Those of a host whose work is done go on. */
static void host_event(struct engine *e, int64_t h, int64_t version, double now)
{
    double seconds;
    if (e->host[h].version != version) return;
    host_catch_up(e, h, now);
    const int64_t first = host_first(e, h, &seconds);
    const int64_t working = e->host[h].working;
    for (int64_t r = first; r < (h + 1) * e->ranks_a_host && r < e->size; r++) {
        struct rank *one = &e->ranks[r];
        if (!one->works || one->left / speed_of(one->load, working) > seconds) continue;
        one->works = false;
        e->host[h].working--;
        spend(e, r, one->kind, now - one->since);
        goes_on(e, r, now);
    }
    host_plan(e, h);
}

static const struct {
    enum time_kind until, then; /* before the last one came, and from there on */
} kinds[MEETINGS] = {[MEET_WEIGHTS] = {TIME_WAIT_WEIGHTS, TIME_WAIT_WEIGHTS},
                     [MEET_GATHER] = {TIME_WAIT_SLOWEST, TIME_WAIT_SLOWEST},
                     [MEET_SUM] = {TIME_WAIT_SLOWEST, TIME_EXCHANGE},
                     [MEET_SAVE] = {TIME_WAIT_SLOWEST, TIME_SAVE},
                     [MEET_AGREE] = {TIME_WAIT_SLOWEST, TIME_WAIT_SLOWEST}};

static void meet(struct engine *e, int64_t rank, enum meeting which)
{
    const struct schedule *s = e->s;
    const double seconds[MEETINGS] = {[MEET_WEIGHTS] = s->weights,
                                      [MEET_GATHER] = s->gather,
                                      [MEET_SUM] = s->exchange,
                                      [MEET_SAVE] = s->save,
                                      [MEET_AGREE] = s->agree};
    const double now = e->ranks[rank].now;
    const int64_t place = e->meeting[which].came++;
    e->members[which][place] = rank;
    e->came[which][place] = now;
    if (!place || now > e->meeting[which].last) e->meeting[which].last = now;
    if (e->meeting[which].came < e->meeting[which].members) return;
    const double last = e->meeting[which].last, until = last + seconds[which];
    e->meeting[which].came = 0;
    for (int64_t i = 0; i <= place; i++) {
        const int64_t member = e->members[which][i];
        /* Rank 0 has the weights: it sends. */
        const bool sends = which == MEET_WEIGHTS && member == 0;
        spend(e, member, kinds[which].until, last - e->came[which][i]);
        spend(e, member, sends ? TIME_SEND : kinds[which].then, seconds[which]);
        goes_on(e, member, until);
    }
}

static struct arrival *arrival_of(struct engine *e, int64_t batch, int64_t learner)
{
    return &e->arrivals[(batch % e->slots) * e->s->learners + learner];
}

static int64_t slice_size(int64_t part, int64_t total, int64_t parts)
{
    return slice_first(part + 1, total, parts) - slice_first(part, total, parts);
}

/* What an actor generated is on its way to the learners whose places it made. */
static void part_send(struct engine *e, int64_t rank, int64_t batch)
{
    const struct rank *r = &e->ranks[rank];
    const int64_t learners = e->s->learners, end = r->first + r->dialogues;
    const double there = r->now + e->s->send;
    for (int64_t place = r->first; place < end;) {
        const int64_t l = slice_owner(place, e->dialogues, learners);
        const int64_t next = slice_first(l + 1, e->dialogues, learners);
        struct arrival *a = arrival_of(e, batch, l);
        if (there > a->last) a->last = there;
        a->due -= (next < end ? next : end) - place;
        place = next;
        if (a->due || !a->waits) continue;
        struct rank *waiting = &e->ranks[l];
        const double until = a->last > waiting->now ? a->last : waiting->now;
        spend(e, l, TIME_WAIT_EXPERIENCE, until - waiting->now);
        goes_on(e, l, until);
    }
}

/* The first of what `actor` has not begun of a batch, or for others the last; rank: makes it. */
static void part_take(struct engine *e, int64_t rank, int64_t actor, int64_t batch, bool last)
{
    const struct schedule *s = e->s;
    struct rank *r = &e->ranks[rank];
    struct row *row = &e->rows[(batch % e->slots) * s->actors + actor];
    r->dialogues = 0;
    if (row->batch > batch) return; /* it is over */
    if (row->batch < batch)
        *row = (struct row){.batch = batch,
                            .first = slice_first(actor, e->dialogues, s->actors),
                            .end = slice_first(actor + 1, e->dialogues, s->actors)};
    const int64_t left = row->end - row->first;
    const bool whole = s->part == 0 || left >= s->part;
    r->dialogues = s->part && whole ? s->part : left;
    r->first = last ? row->end - r->dialogues : row->first;
    if (last)
        row->end -= r->dialogues;
    else
        row->first += r->dialogues;
    const int64_t place = whole ? row->whole++ : e->parts - 1;
    r->seconds = left ? s->generate[(batch * s->actors + actor) * e->parts + place] : 0;
}

enum { ASKED_MOST = 8 }; /* as in mpi/stealing.c */

/* Whether there is another actor to ask. */
static bool part_ask(struct engine *e, int64_t rank)
{
    const int64_t others = e->s->actors - 1;
    if (!e->s->part || e->ranks[rank].asked >= (others < ASKED_MOST ? others : ASKED_MOST))
        return false;
    spend(e, rank, TIME_WAIT_SLOWEST, e->s->ask);
    goes_on(e, rank, e->ranks[rank].now + e->s->ask);
    return true;
}

/* What the actor that was asked has left of the batch. */
static void part_answer(struct engine *e, int64_t rank, int64_t batch)
{
    struct rank *r = &e->ranks[rank];
    const int64_t other = (actor_of(e, rank) + 1 + r->asked) % e->s->actors;
    part_take(e, rank, other, batch, true);
    if (r->dialogues) return;
    r->asked++;
    r->at = AT_PART;
}

/* Whether it is there; else the learner waits. */
static bool batch_receive(struct engine *e, int64_t learner, int64_t batch)
{
    struct arrival *a = arrival_of(e, batch, learner);
    struct rank *r = &e->ranks[learner];
    a->waits = a->due > 0;
    if (a->waits) return false;
    if (a->last <= r->now) return true;
    spend(e, learner, TIME_WAIT_EXPERIENCE, a->last - r->now);
    if (!e->ordered) {
        r->now = a->last;
        return true;
    }
    goes_on(e, learner, a->last);
    return false;
}

/* The batch was taken: its place is the next one's. */
static void batch_taken(struct engine *e, int64_t learner, int64_t batch)
{
    *arrival_of(e, batch, learner) =
        (struct arrival){.due = slice_size(learner, e->dialogues, e->s->learners)};
}

static bool due(int64_t every, int64_t done)
{
    return every > 0 && done % every == 0;
}

/* Whether the rank takes or sends weights before this step.  Batches 0 to lag have version 0,
 * which learner 0 sends in its step 0. */
static bool weights_come(const struct engine *e, int64_t rank)
{
    const struct schedule *s = e->s;
    const int64_t step = e->ranks[rank].step;
    if (s->both || rank == 0) return true;
    return is_actor(e, rank) && (step >= 1 || step == -s->lag);
}

/* A version is there: actors that wait for it go on. */
static void version_publish(struct engine *e, int64_t version, double now)
{
    e->published[version] = now;
    for (int64_t r = e->s->learners; e->ahead && r < e->size; r++) {
        struct rank *one = &e->ranks[r];
        if (one->waits != version) continue;
        one->waits = 0;
        const double until = now + e->s->weights;
        spend(e, r, TIME_WAIT_WEIGHTS, until - one->now);
        goes_on(e, r, until);
    }
}

/* An actor's weights, streamed: its step's, which learner 0 sends when it has them. */
static void version_take(struct engine *e, int64_t rank)
{
    struct rank *r = &e->ranks[rank];
    const int64_t version = r->step > 0 ? r->step : 0;
    const double there = e->published[version];
    if (there < 0) {
        r->waits = version;
        return;
    }
    const double until = fmax(r->now, there + e->s->weights);
    spend(e, rank, TIME_WAIT_WEIGHTS, until - r->now);
    goes_on(e, rank, until);
}

/* Takes a rank as far as it comes by itself. */
static void rank_run(struct engine *e, int64_t rank)
{
    const struct schedule *s = e->s;
    struct rank *r = &e->ranks[rank];
    const bool learner = is_learner(e, rank), actor = is_actor(e, rank);
    const int64_t ahead = s->both ? 0 : s->lag;
    for (;;) {
        const enum place at = r->at++;
        const int64_t batch = r->step + ahead, done = r->step + 1;
        switch (at) {
        case AT_WEIGHTS:
            if (s->both || !weights_come(e, rank) || (s->streamed && !actor)) break;
            if (s->streamed) {
                version_take(e, rank);
                return;
            }
            meet(e, rank, MEET_WEIGHTS);
            return;
        case AT_REFRESH:
            r->asked = 0;
            if (actor && weights_come(e, rank) &&
                !work(e, rank, TIME_WAIT_WEIGHTS, &s->device, s->refresh))
                return;
            break;
        case AT_PART:
            r->dialogues = 0;
            if (actor) part_take(e, rank, actor_of(e, rank), batch, false);
            if (actor && !r->dialogues && part_ask(e, rank)) return;
            r->at = AT_GENERATE;
            break;
        case AT_ASK:
            part_answer(e, rank, batch);
            break;
        case AT_GENERATE:
            if (r->dialogues && !work(e, rank, TIME_GENERATE, &s->device,
                                      r->seconds * pace_of(e, rank, batch, false)))
                return;
            break;
        case AT_SEND:
            part_send(e, rank, batch);
            if (r->dialogues && s->part) {
                r->at = AT_PART;
                break;
            }
            if (r->step >= 0) break;
            r->step++; /* a batch before the first step is made */
            r->at = AT_WEIGHTS;
            break;
        case AT_RECEIVE:
            if (learner && !batch_receive(e, rank, r->step)) return;
            break;
        case AT_GATHER:
            if (!learner) break;
            batch_taken(e, rank, r->step);
            meet(e, rank, MEET_GATHER);
            return;
        case AT_LEARN:
            if (learner &&
                !work(e, rank, TIME_LEARN, &s->device,
                      s->learn[r->step * s->learners + rank] * pace_of(e, rank, r->step, true)))
                return;
            break;
        case AT_SUM:
            if (!learner) break;
            meet(e, rank, MEET_SUM);
            return;
        case AT_COPY:
            if (learner && !work(e, rank, TIME_EXCHANGE, &s->sums, s->copy)) return;
            break;
        case AT_APPLY:
            if (learner &&
                !work(e, rank, TIME_LEARN, &s->device, s->apply * pace_of(e, rank, r->step, true)))
                return;
            break;
        case AT_STEP:
            if (learner && !work(e, rank, TIME_LEARN, &s->memory, s->step)) return;
            break;
        case AT_SAVE:
            if (rank == 0 && s->streamed) version_publish(e, done, r->now);
            if (!learner || !due(s->save_every, done)) break;
            meet(e, rank, MEET_SAVE);
            return;
        case AT_EVALUATE:
            if (rank == 0 && due(s->evaluate_every, done) &&
                !work(e, rank, TIME_EVALUATE, &s->device, s->evaluate))
                return;
            break;
        case AT_AGREE:
            if (e->ahead && !learner) break;
            meet(e, rank, MEET_AGREE);
            return;
        case AT_END:
            if (rank == 0 && done == s->skip) e->begun = r->now;
            if (rank == 0 && done == s->steps) e->ended = r->now;
            if (done == s->steps) return;
            r->step = done;
            r->at = AT_WEIGHTS;
            break;
        }
    }
}

static void engine_open(struct engine *e, const struct schedule *s)
{
    *e = (struct engine){.s = s, .size = s->both ? s->learners : s->learners + s->actors};
    e->ranks_a_host = s->ranks_a_host ? s->ranks_a_host : e->size;
    e->hosts = (e->size + e->ranks_a_host - 1) / e->ranks_a_host;
    e->ordered =
        is_shared(&s->device) || is_shared(&s->memory) || is_shared(&s->sums) || s->part > 0;
    e->ahead = s->streamed && !s->both && s->lag > 1;
    e->ordered |= e->ahead;
    e->published = memory_allocate((size_t)(s->steps + 1) * sizeof *e->published);
    for (int64_t v = 1; v <= s->steps; v++) e->published[v] = -1;
    e->dialogues = s->dialogues ? s->dialogues : s->actors * s->learners;
    e->parts = schedule_parts(s);
    e->ranks = memory_allocate((size_t)e->size * sizeof *e->ranks);
    e->host = memory_allocate((size_t)e->hosts * sizeof *e->host);
    e->spent = memory_allocate((size_t)e->size * sizeof *e->spent);
    const int64_t members[MEETINGS] = {[MEET_WEIGHTS] = s->actors + 1,
                                       [MEET_GATHER] = s->learners,
                                       [MEET_SUM] = s->learners,
                                       [MEET_SAVE] = s->learners,
                                       [MEET_AGREE] = e->ahead ? s->learners : e->size};
    for (int m = 0; m < MEETINGS; m++) {
        e->meeting[m].members = members[m];
        e->members[m] = memory_allocate((size_t)members[m] * sizeof *e->members[m]);
        e->came[m] = memory_allocate((size_t)members[m] * sizeof *e->came[m]);
    }
    e->slots = s->lag + 2;
    e->arrivals = memory_allocate((size_t)(e->slots * s->learners) * sizeof *e->arrivals);
    for (int64_t i = 0; i < e->slots; i++)
        for (int64_t l = 0; l < s->learners; l++) batch_taken(e, l, i);
    e->rows = memory_allocate((size_t)(e->slots * s->actors) * sizeof *e->rows);
    for (int64_t i = 0; i < e->slots * s->actors; i++) e->rows[i].batch = -1;
    for (int64_t r = 0; r < e->size; r++) {
        e->ranks[r].step = s->both || !is_actor(e, r) ? 0 : -s->lag;
        e->ranks[r].at = AT_WEIGHTS;
    }
    for (int64_t r = e->size; r--;) goes_on(e, r, 0);
}

static void engine_close(struct engine *e)
{
    for (int m = 0; m < MEETINGS; m++) {
        free(e->members[m]);
        free(e->came[m]);
    }
    free(e->ranks);
    free(e->host);
    free(e->heap);
    free(e->arrivals);
    free(e->rows);
    free(e->published);
    free(e->spent);
}

int64_t schedule_parts(const struct schedule *s)
{
    if (!s->part) return 1;
    return (s->dialogues / s->actors + 1) / s->part + 1;
}

void schedule_run(const struct schedule *s, struct schedule_result *out)
{
    struct engine e;
    engine_open(&e, s);
    while (e.count) {
        const struct event next = event_take(&e);
        if (next.rank < 0)
            host_event(&e, -1 - next.rank, next.version, next.at);
        else
            rank_run(&e, next.rank);
    }
    const double steps = (double)(s->steps - s->skip);
    *out = (struct schedule_result){.step = (e.ended - e.begun) / steps};
    for (int64_t r = 0; r < e.size; r++)
        for (int k = 0; k < TIME_KINDS; k++) {
            const bool learner = is_learner(&e, r);
            const double each = steps * (double)(learner ? s->learners : s->actors);
            (learner ? out->learner : out->actor)[k] += e.spent[r][k] / each;
        }
    engine_close(&e);
}
