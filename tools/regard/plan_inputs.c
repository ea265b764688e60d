/* What a plan is given beside its cluster: rates that bench measured, lengths of replies, times of
 * a finished run. */
#include "src/base/file.h"
#include "src/base/json.h"
#include "src/base/memory.h"
#include "src/base/timeline.h"
#include "tools/regard/plan.h"

#include <glob.h>
#include <stdlib.h>
#include <string.h>

struct cost_rates plan_rates(const struct cluster *cluster)
{
    return (struct cost_rates){cluster->device.flops, cluster->device.bandwidth,
                               cluster->device.launch};
}

bool plan_streams(const struct plan_case *p)
{
    return p->cluster.cores > 0 || p->config.device == DEVICE_SLEEP ||
           p->config.device == DEVICE_CPU;
}

size_t plan_real_bytes(const struct plan_case *p)
{
    const bool narrow = p->config.precision == PRECISION_BF16 ||
                        (p->config.precision == PRECISION_AUTO && p->cluster.cores == 0);
    return narrow ? 2 : 4;
}

status plan_take_bench(struct plan_case *p, const char *path)
{
    json_t *file;
    TRY(json_read(path, &file));
    const json_t *peaks = json_object_get(file, "peaks");
    const json_t *step = json_object_get(json_object_get(file, "update"), "ppo_step");
    const json_t *flops = json_object_get(peaks, "matmul_gflops");
    const json_t *bytes = json_object_get(peaks, "read_gb_s");
    if (!bytes) bytes = json_object_get(peaks, "copy_gb_s");
    if (step) flops = json_object_get(step, "model_gflops");
    status s = NULL;
    if (!json_is_number(flops) || !json_is_number(bytes))
        s = ERROR(STATUS_INPUT,
                  "%s: no peaks with matmul_gflops and copy_gb_s; take what `regard bench` printed",
                  path);
    if (!s) {
        p->cluster.device.flops = json_number_value(flops) * 1e9;
        p->cluster.device.bandwidth = json_number_value(bytes) * 1e9;
    }
    json_decref(file);
    return s;
}

/* Calls `take` with every line of a JSON Lines file. */
static status lines_read(const char *path, status (*take)(const json_t *line, void *context),
                         void *context)
{
    char *text, where[1200];
    size_t size;
    TRY(file_read(path, &text, &size));
    status s = NULL;
    int64_t number = 1;
    for (char *at = text; !s && at < text + size; number++) {
        char *end = memchr(at, '\n', (size_t)(text + size - at));
        json_t *line;
        if (!end) break; /* a line that is being written */
        snprintf(where, sizeof where, "%.1000s:%lld", path, (long long)number);
        s = json_parse(at, (size_t)(end - at), where, &line);
        if (!s) {
            s = take(line, context);
            json_decref(line);
        }
        at = end + 1;
    }
    free(text);
    return s;
}

static status length_take(const json_t *line, void *context)
{
    struct lengths *l = context;
    const size_t tokens = json_array_size(json_object_get(line, "reply_tokens"));
    if (!tokens) return NULL;
    l->list = memory_resize(l->list, (size_t)(l->count + 1) * sizeof *l->list);
    l->list[l->count++] = (double)tokens;
    return NULL;
}

/* The replies of a run's samples. */
static status lengths_from_run(const char *run, struct lengths *l)
{
    char pattern[1200];
    glob_t found = {0};
    snprintf(pattern, sizeof pattern, "%s/samples/*.jsonl", run);
    status s = NULL;
    if (!glob(pattern, 0, NULL, &found))
        for (size_t i = 0; !s && i < found.gl_pathc; i++)
            s = lines_read(found.gl_pathv[i], length_take, l);
    globfree(&found);
    if (!s && !l->count)
        s = ERROR(STATUS_INPUT,
                  "replies.from: %s has no samples with replies (eval.every writes them); give "
                  "replies.list or replies.median",
                  run);
    return s;
}

status plan_lengths(struct plan_case *p)
{
    const struct cluster *c = &p->cluster;
    struct lengths *l = &p->lengths;
    *l = (struct lengths){.most = p->config.rollout.max_new_tokens,
                          .median = c->replies.median,
                          .sigma = c->replies.sigma};
    if (c->replies.tokens) l->median = (double)c->replies.tokens;
    if (c->replies.from[0]) return lengths_from_run(c->replies.from, l);
    l->count = c->replies.list_count;
    if (!l->count) return NULL;
    l->list = memory_allocate((size_t)l->count * sizeof *l->list);
    memcpy(l->list, c->replies.list, (size_t)l->count * sizeof *l->list);
    if (!c->replies.weight_count) return NULL;
    double sum = 0, all = 0;
    l->until = memory_allocate((size_t)l->count * sizeof *l->until);
    for (int64_t i = 0; i < l->count; i++) all += c->replies.weights[i];
    for (int64_t i = 0; i < l->count; i++) l->until[i] = (sum += c->replies.weights[i]) / all;
    return NULL;
}

/* What a run measured: seconds an update of all ranks together, by kind. */
struct measured {
    double seconds[TIME_KINDS], reply_length; /* reply_length: as many times as there are updates */
    int64_t updates, ranks, lines;
    int64_t every, step; /* log.metrics_every; of the line before */
};

static status measured_take(const json_t *line, void *context)
{
    struct measured *m = context;
    const json_t *ranks = json_object_get(line, "time_by_rank");
    if (!ranks) return NULL;
    const int64_t step = (int64_t)json_number_value(json_object_get(line, "step"));
    const int64_t updates = step - m->step < m->every ? step - m->step : m->every;
    m->step = step;
    if (!m->lines++) return NULL; /* the first update opens and allocates */
    for (int k = 0; k < TIME_KINDS; k++) {
        const json_t *each = json_object_get(ranks, time_kind_name((enum time_kind)k));
        for (size_t r = 0; r < json_array_size(each); r++)
            m->seconds[k] += json_number_value(json_array_get(each, r));
        if ((int64_t)json_array_size(each) > m->ranks) m->ranks = (int64_t)json_array_size(each);
    }
    m->reply_length += (double)updates * json_number_value(json_object_get(line, "reply_length"));
    m->updates += updates;
    return NULL;
}

/* Whether actors read replies too: their reading is not told from the learners'. */
static bool actors_read(const struct config *c)
{
    return c->scorer == SCORER_FROZEN || c->reward.sources.listed[SOURCE_MODEL] ||
           c->task == TASK_REASONING;
}

static status calibrate_by(struct plan_case *p, const struct config *config,
                           const struct measured *m)
{
    struct rehearsal *rehearsal;
    struct prices prices;
    struct plan_outcome modelled;
    const struct cost_rates rates = plan_rates(&p->cluster);
    const double updates = (double)m->updates;
    const struct lengths lengths = {.most = config->rollout.max_new_tokens,
                                    .median = m->reply_length / updates};
    TRY(rehearsal_open(config, &rates, plan_real_bytes(p), &rehearsal));
    status s = rehearsal_prices(rehearsal, &lengths, &prices);
    if (s) {
        rehearsal_close(rehearsal);
        return s;
    }
    const struct plan_run run = {.learners = config->roles.learners,
                                 .size = m->ranks,
                                 .dialogues = config->rollout.dialogues,
                                 .microbatches = config->learn.microbatches,
                                 .updates = 8,
                                 .seed = config->seed,
                                 .steals = config->rollout.steal,
                                 .streamed = plan_streams(p)};
    plan_predict(&p->cluster, &prices, &lengths, &run, &modelled);
    const double learners = (double)run.learners;
    const double actors = (double)(run.learners == run.size ? run.size : run.size - run.learners);
    const double generate = actors * modelled.generate;
    const double learn = learners * (modelled.learn + prices.apply) + prices.sliced;
    double made = (m->seconds[TIME_GENERATE] + m->seconds[TIME_REWARD]) / updates;
    double learned = (m->seconds[TIME_LEARN] + m->seconds[TIME_READ]) / updates;
    p->generate_scale = made / generate;
    p->learn_scale = learned / learn;
    if (actors_read(config)) {
        const double both = (made + learned) / (generate + learn);
        p->generate_scale = p->learn_scale = both;
    }
    p->other = (m->seconds[TIME_OTHER] + m->seconds[TIME_SEND]) / updates / (double)m->ranks;
    prices_scale(&p->prices, p->generate_scale, p->learn_scale);
    p->prices.apply += p->other;
    prices_free(&prices);
    rehearsal_close(rehearsal);
    return NULL;
}

status plan_calibrate(struct plan_case *p)
{
    static struct config config;
    const char *run = p->cluster.from_run;
    char path[1200];
    struct measured m = {.updates = 0};
    config_defaults(&config);
    snprintf(path, sizeof path, "%s/config.yaml", run);
    TRY(config_read(&config, path));
    snprintf(path, sizeof path, "%s/metrics.jsonl", run);
    m.every = config.log.metrics_every;
    TRY(lines_read(path, measured_take, &m));
    if (!m.updates)
        FAIL(STATUS_INPUT,
             "from_run: %s has less than two updates with time_by_rank, which runs of up to 64 "
             "ranks write; name another run",
             path);
    return calibrate_by(p, &config, &m);
}
