/* See events.h.  Every rank is a little program whose operations follow one another (rank_next);
 * the engine knows work, meetings and batches.  Where nothing is shared, a rank's work ends when it
 * ends, and ranks are taken in any order; where cores are shared, events are taken in the order of
 * time, by a heap. */
#include "src/plan/events.h"

#include "src/base/memory.h"

#include <math.h>
#include <stdlib.h>

enum meeting { MEET_WEIGHTS, MEET_GATHER, MEET_SUM, MEET_SAVE, MEET_AGREE, MEETINGS };

/* What a rank does next. */
enum place {
    AT_WEIGHTS, /* X */
    AT_REFRESH,
    AT_GENERATE,
    AT_SEND,
    AT_RECEIVE,
    AT_GATHER,
    AT_LEARN,
    AT_SUM,
    AT_APPLY,
    AT_SAVE,
    AT_EVALUATE,
    AT_AGREE,
    AT_END
};

struct rank {
    double now;         /* its clock */
    double left, since; /* of its work, where cores are shared: seconds left at that time */
    int64_t step;       /* < 0: a batch generated before the first */
    enum place at;
    enum time_kind kind; /* of what it is in */
    bool works;
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
    int64_t due;
    double last;
    bool waits;
};

struct engine {
    const struct schedule *s;
    int64_t size, hosts, ranks_a_host;
    bool shared;
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
    int64_t slots;
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

/* In the order of time where cores are shared; else the last made first. */
static void event_add(struct engine *e, double at, int64_t rank, int64_t version)
{
    if (e->count == e->capacity) {
        e->capacity = e->capacity ? 2 * e->capacity : 1024;
        e->heap = memory_resize(e->heap, (size_t)e->capacity * sizeof *e->heap);
    }
    struct event one = {at, e->orders++, rank, version};
    int64_t i = e->count++;
    for (; e->shared && i && event_before(&one, &e->heap[(i - 1) / 2]); i = (i - 1) / 2)
        e->heap[i] = e->heap[(i - 1) / 2];
    e->heap[i] = one;
}

static struct event event_take(struct engine *e)
{
    if (!e->shared) return e->heap[--e->count];
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

/* A rank is at its next event; where nothing is shared at once. */
static void goes_on(struct engine *e, int64_t rank, double at)
{
    e->ranks[rank].now = at;
    event_add(e, at, rank, 0);
}

/* What the ranks of a host have done since it was looked at last. */
static void host_catch_up(struct engine *e, int64_t h, double now)
{
    struct host *host = &e->host[h];
    const double rate = host->working ? fmin(1, e->s->cores / (double)host->working) : 1;
    for (int64_t r = h * e->ranks_a_host; r < (h + 1) * e->ranks_a_host && r < e->size; r++)
        if (e->ranks[r].works) e->ranks[r].left -= (now - host->now) * rate;
    host->now = now;
}

/* The event at which the first of a host's ranks is done. */
static void host_plan(struct engine *e, int64_t h)
{
    struct host *host = &e->host[h];
    double least = INFINITY;
    host->version++;
    if (!host->working) return;
    const double rate = fmin(1, e->s->cores / (double)host->working);
    for (int64_t r = h * e->ranks_a_host; r < (h + 1) * e->ranks_a_host && r < e->size; r++)
        if (e->ranks[r].works && e->ranks[r].left < least) least = e->ranks[r].left;
    event_add(e, host->now + fmax(least, 0) / rate, -1 - h, host->version);
}

/* A rank's own work; true where it is done at once. */
static bool work(struct engine *e, int64_t rank, enum time_kind kind, double seconds)
{
    struct rank *r = &e->ranks[rank];
    if (!e->shared) {
        spend(e, rank, kind, seconds);
        r->now += seconds;
        return true;
    }
    if (seconds <= 0) return true;
    const int64_t h = rank / e->ranks_a_host;
    host_catch_up(e, h, r->now);
    e->host[h].working++;
    r->works = true;
    r->left = seconds;
    r->since = r->now;
    r->kind = kind;
    host_plan(e, h);
    return false;
}

/* Those of a host whose work is done go on. */
static void host_event(struct engine *e, int64_t h, int64_t version, double now)
{
    if (e->host[h].version != version) return;
    host_catch_up(e, h, now);
    double least = INFINITY;
    for (int64_t r = h * e->ranks_a_host; r < (h + 1) * e->ranks_a_host && r < e->size; r++)
        if (e->ranks[r].works && e->ranks[r].left < least) least = e->ranks[r].left;
    for (int64_t r = h * e->ranks_a_host; r < (h + 1) * e->ranks_a_host && r < e->size; r++) {
        struct rank *one = &e->ranks[r];
        if (!one->works || one->left > least) continue;
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

/* A batch's part of an actor is on its way to the learners whose places it made: of a batch as of
 * the line [0, 1). */
static void batch_send(struct engine *e, int64_t rank, int64_t batch)
{
    const int64_t actors = e->s->actors, learners = e->s->learners, actor = actor_of(e, rank);
    const int64_t first = actor * learners / actors;
    for (int64_t l = first; l < learners && l * actors < (actor + 1) * learners; l++) {
        struct arrival *a = arrival_of(e, batch, l);
        const double there = e->ranks[rank].now + e->s->send;
        if (there > a->last) a->last = there;
        /* What the line's parts have in common. */
        const int64_t begin = l * actors > actor * learners ? l * actors : actor * learners;
        const int64_t end =
            (l + 1) * actors < (actor + 1) * learners ? (l + 1) * actors : (actor + 1) * learners;
        a->due -= end - begin;
        if (a->due || !a->waits) continue;
        struct rank *waiting = &e->ranks[l];
        const double until = a->last > waiting->now ? a->last : waiting->now;
        spend(e, l, TIME_WAIT_EXPERIENCE, until - waiting->now);
        goes_on(e, l, until);
    }
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
    if (!e->shared) {
        r->now = a->last;
        return true;
    }
    goes_on(e, learner, a->last);
    return false;
}

/* The batch was taken: its place is the next one's. */
static void batch_taken(struct engine *e, int64_t learner, int64_t batch)
{
    *arrival_of(e, batch, learner) = (struct arrival){.due = e->s->actors};
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
            if (s->streamed) { /* since the last agreement they are on their way */
                spend(e, rank, TIME_WAIT_WEIGHTS, s->weights);
                goes_on(e, rank, r->now + s->weights);
                return;
            }
            meet(e, rank, MEET_WEIGHTS);
            return;
        case AT_REFRESH:
            if (actor && weights_come(e, rank) && !work(e, rank, TIME_WAIT_WEIGHTS, s->refresh))
                return;
            break;
        case AT_GENERATE:
            if (actor &&
                !work(e, rank, TIME_GENERATE, s->generate[batch * s->actors + actor_of(e, rank)]))
                return;
            break;
        case AT_SEND:
            if (actor) batch_send(e, rank, batch);
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
            if (learner && !work(e, rank, TIME_LEARN, s->learn[r->step * s->learners + rank]))
                return;
            break;
        case AT_SUM:
            if (!learner) break;
            meet(e, rank, MEET_SUM);
            return;
        case AT_APPLY:
            if (learner && !work(e, rank, TIME_LEARN, s->apply)) return;
            break;
        case AT_SAVE:
            if (!learner || !due(s->save_every, done)) break;
            meet(e, rank, MEET_SAVE);
            return;
        case AT_EVALUATE:
            if (rank == 0 && due(s->evaluate_every, done) &&
                !work(e, rank, TIME_EVALUATE, s->evaluate))
                return;
            break;
        case AT_AGREE:
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
    e->shared = s->cores > 0;
    e->ranks = memory_allocate((size_t)e->size * sizeof *e->ranks);
    e->host = memory_allocate((size_t)e->hosts * sizeof *e->host);
    e->spent = memory_allocate((size_t)e->size * sizeof *e->spent);
    const int64_t members[MEETINGS] = {[MEET_WEIGHTS] = s->actors + 1,
                                       [MEET_GATHER] = s->learners,
                                       [MEET_SUM] = s->learners,
                                       [MEET_SAVE] = s->learners,
                                       [MEET_AGREE] = e->size};
    for (int m = 0; m < MEETINGS; m++) {
        e->meeting[m].members = members[m];
        e->members[m] = memory_allocate((size_t)members[m] * sizeof *e->members[m]);
        e->came[m] = memory_allocate((size_t)members[m] * sizeof *e->came[m]);
    }
    e->slots = s->lag + 2;
    e->arrivals = memory_allocate((size_t)(e->slots * s->learners) * sizeof *e->arrivals);
    for (int64_t i = 0; i < e->slots * s->learners; i++) e->arrivals[i].due = s->actors;
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
    free(e->spent);
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
