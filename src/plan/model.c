/* See model.h. */
#include "src/plan/model.h"

#include "src/base/memory.h"
#include "src/base/philox.h"
#include "src/base/slices.h"

#include <math.h>
#include <stdlib.h>

/* Draws of what actors do with a batch, of which each takes one at random: more would change no
 * figure that a plan is read for. */
enum { POOL = 2048 };

enum {
    POLL_EVERY = 2, /* src/rollout/generator.c: steps between looks at who ended */
    AGREEMENTS = 1, /* of all ranks after a step: mpi/run_loop.c */
    /* Collectives of learners, a gather is two (sizes first): before the first epoch
     * (src/learn/update.c), and of every epoch's step (step.c, mpi/replicas.c). */
    GATHERS = 6,
    STEP_GATHERS = 6
};

static const double STEALING_LOOK = 5e-4; /* mpi/stealing.c looks for questions every millisecond */

/* Steps of replies decoded together, of which the lengths are drawn; a row is decoded until the
 * first look after its end. */
static double chunk_steps(const struct prices *p, const struct lengths *l, int64_t rows,
                          const uint32_t key[2], uint32_t counter[4], int64_t *tokens,
                          int64_t *ends)
{
    double seconds = 0;
    for (int64_t r = 0; r < rows; r++) {
        counter[3]++;
        int64_t length = lengths_at(l, key, counter);
        *tokens += length;
        length = (length + POLL_EVERY - 1) / POLL_EVERY * POLL_EVERY;
        ends[length < p->steps ? length : p->steps]++;
    }
    int64_t active = rows;
    for (int64_t t = 0; t < p->steps && active; t++) {
        active -= ends[t];
        ends[t] = 0;
        if (active) seconds += prices_step(p, (double)active, t);
    }
    ends[p->steps] = 0;
    return seconds;
}

/* A word of its own for a place in a table. */
static uint32_t word_at(int64_t seed, uint32_t what, int64_t row, int64_t column)
{
    uint32_t key[2], out[4];
    const uint32_t counter[4] = {what, (uint32_t)row, (uint32_t)column, (uint32_t)(column >> 32)};
    philox_key((uint64_t)seed, RANDOM_ORDER, key);
    philox4x32(counter, key, out);
    return out[0];
}

/* A dialogue's tokens of history: one of those that were looked at. */
static double history_drawn(const struct prices *p, int64_t seed, uint32_t what, int64_t row,
                            int64_t column)
{
    return p->history[word_at(seed, what, row, column) % PRICE_DIALOGUES];
}

double plan_generate(const struct prices *p, const struct lengths *l, int64_t seed,
                     int64_t dialogues, uint32_t stream, int64_t *tokens)
{
    uint32_t key[2], counter[4] = {stream, 0, 0, 0}, random[4];
    int64_t *ends = memory_allocate((size_t)(p->steps + 1) * sizeof *ends);
    double seconds = 0, histories = 0;
    philox_key((uint64_t)seed, RANDOM_SIMULATOR, key);
    *tokens = 0;
    for (int64_t d = 0; d < dialogues; d++)
        histories += history_drawn(p, seed, 3, stream, d) / (double)dialogues;
    const double reading = p->history_tokens > 0 ? histories / p->history_tokens : 1;
    for (int64_t turn = 0; turn < p->turns && turn < PRICE_TURNS; turn++) {
        int64_t going = 0;
        counter[1] = (uint32_t)turn;
        for (int64_t d = 0; d < dialogues; d++) {
            uint32_t own[4] = {stream, (uint32_t)d, 1, 0}; /* the same dialogue at every turn */
            philox4x32(own, key, random);
            going += (double)philox_uniform(random[0]) < p->goes_on[turn];
        }
        for (int64_t rows = going * p->candidates; rows > 0; rows -= p->batch) {
            const int64_t chunk = rows < p->batch ? rows : p->batch;
            seconds += prices_fixed(p, (double)chunk) * reading +
                       chunk_steps(p, l, chunk, key, counter, tokens, ends);
        }
    }
    free(ends);
    return seconds;
}

/* Levels of a tree over so many. */
static double levels(int64_t count)
{
    return count > 1 ? ceil(log2((double)count)) : 0;
}

double plan_exchange(const struct cluster *c, int64_t learners, double bytes, double *copy)
{
    double seconds = 0;
    *copy = 0;
    for (int64_t bit = 1; bit < learners; bit <<= 1) {
        const struct cluster_link *link = cluster_link(c, 2 * bit);
        bytes /= 2;
        seconds += link->latency;
        if (link == &c->inside)
            *copy += bytes / link->bandwidth;
        else
            seconds += bytes / link->bandwidth;
    }
    return seconds;
}

/* The draws of `pool` for actors with so many dialogues. */
struct pool {
    int64_t dialogues;
    double *seconds; /* [POOL] */
    double mean, longest;
};

static void pool_fill(const struct prices *p, const struct lengths *l, int64_t seed,
                      int64_t dialogues, int64_t wanted, struct pool *pool)
{
    const int64_t count = wanted < POOL ? wanted : POOL;
    *pool = (struct pool){.dialogues = dialogues};
    pool->seconds = memory_allocate(POOL * sizeof *pool->seconds);
    for (int64_t i = 0; i < POOL; i++) {
        int64_t tokens;
        pool->seconds[i] = i < count ? plan_generate(p, l, seed, dialogues, (uint32_t)i, &tokens)
                                     : pool->seconds[i % count];
        pool->mean += pool->seconds[i] / POOL;
        if (pool->seconds[i] > pool->longest) pool->longest = pool->seconds[i];
    }
}

static int64_t slice_count(int64_t part, int64_t total, int64_t parts)
{
    return slice_first(part + 1, total, parts) - slice_first(part, total, parts);
}

/* [batches, actors, parts] for the schedule. */
static double *generate_draw(const struct prices *p, const struct lengths *l,
                             const struct plan_run *run, const struct schedule *s,
                             struct plan_outcome *out)
{
    const int64_t actors = s->actors, parts = schedule_parts(s), batches = s->steps + s->lag;
    double *seconds = memory_allocate((size_t)(batches * actors * parts) * sizeof *seconds);
    struct pool pools[3]; /* of a whole part; slices of a batch differ by one at most */
    const int64_t least = run->dialogues / actors, part = s->part ? s->part : least + 2;
    for (int i = 0; i < 2; i++)
        pool_fill(p, l, run->seed, (least + i) % part, batches * actors, &pools[i]);
    pool_fill(p, l, run->seed, s->part, batches * actors * parts, &pools[2]);
    for (int64_t b = 0; b < batches; b++) {
        double longest = 0;
        for (int64_t a = 0; a < actors; a++) {
            const int64_t own = slice_count(a, run->dialogues, actors);
            double *at = seconds + (b * actors + a) * parts, sum = 0;
            for (int64_t i = 0; i < parts; i++) {
                const bool rest = i == parts - 1;
                if (rest ? own % part == 0 : i >= own / part) continue;
                const struct pool *pool = &pools[rest ? own - least : 2];
                at[i] = pool->seconds[word_at(run->seed, 0, b, a * parts + i) % POOL];
                sum += at[i];
            }
            out->generate += sum / (double)(batches * actors);
            if (sum > longest) longest = sum;
        }
        out->generate_longest += longest / (double)batches;
    }
    for (int i = 0; i < 3; i++) free(pools[i].seconds);
    return seconds;
}

/* [batches, learners]: a learner's passes, by the tokens of its dialogues' replies. */
static double *learn_draw(const struct prices *p, const struct lengths *l,
                          const struct plan_run *run, int64_t batches, struct plan_outcome *out)
{
    enum { DIALOGUES = 1024 };
    double *seconds = memory_allocate((size_t)(batches * run->learners) * sizeof *seconds);
    double tokens[DIALOGUES], mean = 0;
    for (int64_t i = 0; i < DIALOGUES; i++) {
        uint32_t key[2];
        philox_key((uint64_t)run->seed, RANDOM_OTHER_REPLY, key);
        tokens[i] = 0;
        for (int64_t turn = 0; turn < p->turns && turn < PRICE_TURNS; turn++)
            for (int64_t k = 0; k < p->candidates; k++) {
                const uint32_t counter[4] = {(uint32_t)i, (uint32_t)turn, (uint32_t)k, 0};
                const double going = (double)philox_uniform(word_at(run->seed, 1, i, 0));
                if (going < p->goes_on[turn]) tokens[i] += (double)lengths_at(l, key, counter);
            }
        mean += tokens[i] / DIALOGUES;
    }
    const double usual = p->history_tokens + mean;
    for (int64_t b = 0; b < batches; b++)
        for (int64_t n = 0; n < run->learners; n++) {
            const int64_t own = slice_count(n, run->dialogues, run->learners);
            const int64_t most = run->microbatches / run->learners;
            const int64_t microbatches = most < own ? most : own;
            double sum = 0;
            for (int64_t d = 0; d < own; d++)
                sum += history_drawn(p, run->seed, 4, b, n * run->dialogues + d) +
                       tokens[word_at(run->seed, 2, b, n * run->dialogues + d) % DIALOGUES];
            double one = 0;
            if (own)
                one = (double)microbatches * prices_pass(p, (double)own / (double)microbatches) *
                      sum / (usual * (double)own);
            seconds[b * run->learners + n] = one;
            out->learn += one / (double)(batches * run->learners);
        }
    out->tokens_s = mean * (double)run->dialogues; /* a step, until the step is known */
    return seconds;
}

/* What a checkpoint holds: policy, its moments, the critic and its, and the versions of lag. */
static double checkpoint_bytes(const struct prices *p, const struct plan_run *run)
{
    return 4 * (3 * (double)(p->parameters + p->critic_parameters) +
                (double)run->lag * (double)p->parameters);
}

/* What rank 0, which has most, copies: of a device before it goes on, on a host beside its own work
 * (mpi/run_snapshot.c), from whose cores that is taken. */
static double snapshot_bytes(const struct prices *p, const struct plan_run *run)
{
    const double learned = (double)(p->parameters + p->critic_parameters);
    return 4 *
           (learned * (1 + 2 / (double)run->learners) + (double)run->lag * (double)p->parameters);
}

/* Dialogues that are generated together, where work moves between actors (mpi/stealing.c). */
static int64_t stolen_part(const struct prices *p, const struct plan_run *run, int64_t actors)
{
    const int64_t part = p->batch > p->candidates ? p->batch / p->candidates : 1;
    return run->steals && actors > 1 && part * actors < run->dialogues ? part : 0;
}

/* Until actors have new weights, from the end of an update on: a broadcast; or what is left of a
 * stream that began when the first learner's slice had come (`gathered` seconds before the end),
 * in a host a copy. */
static double weights_seconds(const struct cluster *c, const struct prices *p,
                              const struct plan_run *run, int64_t actors, double gathered)
{
    const struct cluster_link *all = cluster_link(c, run->size);
    const double bytes = 4 * (double)p->parameters;
    if (run->streamed && run->size <= c->ranks) return all->latency + bytes / c->copy.bandwidth;
    const double whole = bytes / all->bandwidth;
    if (!run->streamed) return levels(actors + 1) * all->latency + whole;
    return all->latency + fmax(0, whole - gathered - p->apply);
}

void plan_predict(const struct cluster *c, const struct prices *p, const struct lengths *l,
                  const struct plan_run *run, struct plan_outcome *out)
{
    const int both = run->learners == run->size;
    const int64_t actors = both ? run->size : run->size - run->learners;
    const double weights = 4 * (double)p->parameters;
    const double learned = 4 * (double)(p->parameters + p->critic_parameters);
    const double learners = (double)run->learners, epochs = (double)p->epochs;
    const struct cluster_link *all = cluster_link(c, run->size);
    const struct cluster_link *among = cluster_link(c, run->learners);
    *out = (struct plan_outcome){.checkpoint_bytes = checkpoint_bytes(p, run)};
    out->checkpoint_seconds = out->checkpoint_bytes / c->files.bandwidth;
    out->save =
        run->background ? snapshot_bytes(p, run) / c->copy.bandwidth : out->checkpoint_seconds;
    double copy;
    const double exchange = epochs * 2 * plan_exchange(c, run->learners, learned, &copy);
    copy *= epochs * 2;
    out->exchange = exchange + copy;
    if (!both) out->weights = weights_seconds(c, p, run, actors, out->exchange / epochs / 2);
    const double message = p->message * (double)run->dialogues / (double)actors;
    const bool ahead = run->streamed && !both && run->lag > 1; /* as in events.h */
    struct schedule s = {
        .learners = run->learners,
        .actors = actors,
        .both = both,
        .ranks_a_host = c->ranks,
        .device = {c->cores, c->sharing.compute, c->sharing.compute_count},
        .memory = {c->cores, c->sharing.memory, c->sharing.memory_count},
        .sums = {c->cores, c->sharing.sums, c->sharing.sums_count},
        .dialogues = run->dialogues,
        .part = stolen_part(p, run, actors),
        .ask = all->latency + STEALING_LOOK,
        .slowest = c->device.slowest,
        .jitter = c->device.jitter,
        .seed = (uint64_t)run->seed,
        .lag = run->lag,
        .steps = run->updates,
        .refresh = p->refresh,
        .apply = p->apply,
        .step = p->sliced / learners,
        .weights = out->weights,
        .streamed = run->streamed,
        .gather = (GATHERS + epochs * STEP_GATHERS) * levels(run->learners) * among->latency,
        .exchange = exchange,
        .copy = copy,
        .agree = AGREEMENTS * levels(ahead ? run->learners : run->size) * all->latency,
        .send = all->latency + message / all->bandwidth,
        .save_every = run->save_every,
        .evaluate_every = run->evaluate_every,
        .save = out->save,
        .evaluate = p->evaluate,
        .skip = run->lag + 2};
    s.steps += s.skip;
    double *generate = generate_draw(p, l, run, &s, out);
    double *learn = learn_draw(p, l, run, s.steps, out);
    s.generate = generate;
    s.learn = learn;
    schedule_run(&s, &out->times);
    out->dialogues_s = (double)run->dialogues / out->times.step;
    out->tokens_s /= out->times.step;
    out->bytes =
        (struct plan_bytes){.weights = both ? 0 : weights * (double)actors,
                            .experience = run->size > 1 ? p->message * (double)run->dialogues : 0,
                            .learners = epochs * 2 * learned * (learners - 1)};
    free(generate);
    free(learn);
}
