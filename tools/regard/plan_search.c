/* The search for the best roles, lag and microbatches: each is tried where the others stand, twice
 * around, and the simplest of those that are as good as the best is taken. */
#include "src/base/memory.h"
#include "src/plan/interval.h"
#include "tools/regard/plan.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A choice that is so near the best is as good. */
static const double as_good = 0.99;

static int64_t updates_of(const struct plan_case *p)
{
    return cluster_size(&p->cluster) > 256 ? 8 : 32;
}

/* Whether a run would take these settings. */
static bool allowed(const struct plan_case *p, const struct plan_run *run)
{
    static struct config config;
    config = p->config;
    if (run->learners > run->size || run->microbatches > 1 << 20) return false;
    config.roles.learners = run->learners;
    config.learn.microbatches = run->microbatches;
    config.pipeline.lag = run->lag;
    status s = config_check(&config, CONFIG_TRAIN);
    const bool fine = !s;
    status_free(s);
    return fine;
}

static void predict(const struct plan_case *p, const struct plan_run *run, struct plan_outcome *out)
{
    plan_predict(&p->cluster, &p->prices, &p->lengths, run, out);
}

static bool same_run(const struct plan_run *a, const struct plan_run *b)
{
    return a->learners == b->learners && a->lag == b->lag && a->microbatches == b->microbatches;
}

/* Tries a run; *best becomes it where it is better by more than simpler choices may lose. */
static void attempt(struct plan_case *p, enum plan_trial trial, const struct plan_run *run,
                    int64_t begin)
{
    if (!allowed(p, run)) return;
    for (int64_t i = begin; i < p->tried_count; i++)
        if (p->tried[i].trial == trial && same_run(&p->tried[i].run, run)) return;
    p->tried = memory_resize(p->tried, (size_t)(p->tried_count + 1) * sizeof *p->tried);
    struct plan_tried *one = &p->tried[p->tried_count++];
    *one = (struct plan_tried){.trial = trial, .run = *run};
    predict(p, run, &one->outcome);
}

/* Of those tried since `begin`, the first that is as good as the best. */
static void best_take(struct plan_case *p, int64_t begin)
{
    double most = 0;
    for (int64_t i = begin; i < p->tried_count; i++)
        if (p->tried[i].outcome.dialogues_s > most) most = p->tried[i].outcome.dialogues_s;
    for (int64_t i = begin; i < p->tried_count; i++) {
        if (p->tried[i].outcome.dialogues_s < as_good * most) continue;
        p->best = p->tried[i].run;
        p->best_outcome = p->tried[i].outcome;
        return;
    }
}

/* The least microbatches of so many learners: one each, or as many as are asked for. */
static int64_t microbatches_of(const struct plan_case *p, int64_t learners)
{
    return learners > p->config.learn.microbatches ? learners : p->config.learn.microbatches;
}

/* From few learners to all ranks with both roles. */
static void splits_try(struct plan_case *p)
{
    const int64_t begin = p->tried_count;
    for (int64_t l = 1; l <= p->best.size; l *= 2) {
        struct plan_run run = p->best;
        run.learners = l;
        run.microbatches = microbatches_of(p, l);
        attempt(p, TRIED_SPLIT, &run, begin);
    }
    best_take(p, begin);
}

static void lags_try(struct plan_case *p)
{
    const int64_t begin = p->tried_count;
    if (p->best.learners == p->best.size) p->best.lag = 0; /* nobody generates ahead */
    for (int64_t lag = 0; lag <= PIPELINE_LAG_MAX && p->best.learners < p->best.size; lag++) {
        struct plan_run run = p->best;
        run.lag = lag;
        attempt(p, TRIED_LAG, &run, begin);
    }
    if (p->tried_count > begin) best_take(p, begin);
}

static void microbatches_try(struct plan_case *p)
{
    const int64_t begin = p->tried_count;
    for (int64_t m = p->best.learners; m <= 16 * p->best.learners && m <= p->best.dialogues;
         m *= 2) {
        struct plan_run run = p->best;
        run.microbatches = m;
        attempt(p, TRIED_MICROBATCHES, &run, begin);
    }
    if (p->tried_count > begin) best_take(p, begin);
}

/* Seconds that something due every `every` updates keeps the run each time: with it every second
 * update, less without. */
static double cost_of(const struct plan_case *p, bool save)
{
    struct plan_run run = p->best;
    struct plan_outcome with;
    if (save)
        run.save_every = 2;
    else
        run.evaluate_every = 2;
    predict(p, &run, &with);
    const double cost = 2 * (with.times.step - p->best_outcome.times.step);
    return cost > 0 ? cost : 0;
}

static void interval_find(struct plan_case *p)
{
    struct plan_interval *i = &p->interval;
    const double mtbf = p->cluster.failures.mtbf_hours * 3600 / (double)p->cluster.hosts;
    const double cost = cost_of(p, true);
    *i = (struct plan_interval){.cost = cost,
                                .mtbf = mtbf,
                                .young = interval_young(cost, mtbf),
                                .daly = interval_daly(cost, mtbf)};
    /* One is written before the next begins. */
    const double least = p->best_outcome.checkpoint_seconds;
    i->steps = (int64_t)ceil(fmax(i->daly, least) / p->best_outcome.times.step);
    i->lost = interval_lost((double)i->steps * p->best_outcome.times.step, cost, mtbf,
                            p->cluster.failures.restart);
}

static status memory_count(struct plan_case *p)
{
    const struct plan_run *run = &p->best;
    TRY(rehearsal_memory(p->rehearsal, run, 0, p->memory[PLAN_RANK_0]));
    if (run->learners > 1)
        TRY(rehearsal_memory(p->rehearsal, run, run->learners - 1, p->memory[PLAN_LEARNER]));
    if (run->learners < run->size)
        TRY(rehearsal_memory(p->rehearsal, run, run->size - 1, p->memory[PLAN_ACTOR]));
    return NULL;
}

status plan_search(struct plan_case *p)
{
    const struct config *c = &p->config;
    p->asked = (struct plan_run){.learners = c->roles.learners,
                                 .size = cluster_size(&p->cluster),
                                 .lag = c->pipeline.lag,
                                 .dialogues = c->rollout.dialogues,
                                 .microbatches = c->learn.microbatches,
                                 .updates = updates_of(p),
                                 .seed = c->seed,
                                 .steals = c->rollout.steal,
                                 .streamed = plan_streams(p),
                                 .background = c->checkpoint.background};
    p->asked_runs = allowed(p, &p->asked);
    if (p->asked_runs) predict(p, &p->asked, &p->asked_outcome);
    p->best = p->asked;
    if (!p->best.lag) p->best.lag = 1; /* a split is worth nothing where its halves take turns */
    splits_try(p);
    if (!p->tried_count)
        FAIL(STATUS_INPUT, "no number of learners up to the %lld ranks goes with these settings",
             (long long)p->best.size);
    lags_try(p);
    microbatches_try(p);
    p->evaluation_cost = p->prices.evaluate > 0 ? cost_of(p, false) : 0;
    interval_find(p);
    return memory_count(p);
}
