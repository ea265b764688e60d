/* See run_checkpoint.h; the protocol is src/checkpoint/checkpoint.h's. */
#include "mpi/run_checkpoint.h"

#include "src/base/memory.h"

#include <stdlib.h>
#include <string.h>

bool run_checkpoint_due(const struct config *config, int64_t step, bool last)
{
    const int64_t every = config->checkpoint.every;
    return last || (every > 0 && step % every == 0);
}

static float *download(struct queue *queue, const float *values, int64_t count, status *s)
{
    float *host = memory_allocate((size_t)count * sizeof *host);
    queue->op->download(queue, host, values, (size_t)count * sizeof *host);
    *s = queue->op->synchronize(queue);
    return host;
}

enum { VECTOR_MOST = 5 };

/* This learner's part of every flat vector of the optimizer state: moments are there in no more
 * than that, the critic's values whole. */
static status slice_write(struct learner *learner, const char *path)
{
    const int rank = learner->exchange.rank, learners = learner->exchange.count;
    struct checkpoint_vector vectors[VECTOR_MOST];
    float *hosts[VECTOR_MOST] = {NULL};
    int64_t count = 0;
    status s = NULL;
    const struct optimizer *policy = learner->policy_optimizer, *critic = learner->critic_optimizer;
    const float *values = critic ? critic_parameters(learner->critic)->values : NULL;
    const struct {
        const char *name;
        const struct optimizer *of;
        const float *slice;
    } all[VECTOR_MOST] = {{"policy.m", policy, policy->m},
                          {"policy.v", policy, policy->v},
                          {"critic.values", critic, critic ? values + critic->begin : NULL},
                          {"critic.m", critic, critic ? critic->m : NULL},
                          {"critic.v", critic, critic ? critic->v : NULL}};
    for (int i = 0; !s && i < VECTOR_MOST; i++) {
        const struct optimizer *of = all[i].of;
        if (!of) continue;
        const int64_t size = of->end - of->begin;
        hosts[count] = download(learner->queue, all[i].slice, size, &s);
        vectors[count] = (struct checkpoint_vector){.name = all[i].name,
                                                    .values = hosts[count],
                                                    .count = size,
                                                    .total = of->size,
                                                    .offset = of->begin};
        count++;
    }
    if (!s) s = checkpoint_write_slice(path, rank, learners, vectors, count);
    for (int64_t i = 0; i < count; i++) free(hosts[i]);
    return s;
}

static status config_text(const struct config *config, char **text, size_t *size)
{
    FILE *stream = memory_stream(text, size);
    status s = config_print(config, stream);
    memory_stream_close(stream);
    return s;
}

/* Rank 0's files: model.h5, state.h5, tokenizer, idf table. */
static status state_write(struct run_folder *folder, struct learner *learner,
                          const struct language *language, const char *path, const float *lagging)
{
    status s = NULL;
    struct parameters *parameters = model_parameters(learner->policy);
    float *values = download(learner->queue, parameters->values, parameters->size, &s);
    if (!s) s = checkpoint_write_model(path, parameters, values, model_shape(learner->policy));
    free(values);
    float *older = NULL;
    if (!s && lagging) older = download(learner->queue, lagging, parameters->size, &s);
    char *text = NULL;
    size_t size = 0;
    if (!s) s = config_text(&folder->options->config, &text, &size);
    const int64_t counters[5] = {learner->policy_optimizer->step,
                                 learner->critic ? learner->critic_optimizer->step : 0,
                                 folder->best, folder->worse, learner->critic != NULL};
    double statistics[RUNNING_MAX];
    running_save(&learner->settings.reward, &learner->statistics, statistics);
    char reference[65] = "";
    if (!s && learner->reference)
        s = parameters_hash(model_parameters(learner->reference), reference);
    const struct checkpoint_entry entries[] = {
        {"kind", CHECKPOINT_TEXT, folder->kind, (int64_t)strlen(folder->kind)},
        {"config", CHECKPOINT_TEXT, text, (int64_t)size},
        {"counters", CHECKPOINT_INTEGERS, counters, 5},
        {"best_metric", CHECKPOINT_DOUBLES, &folder->best_metric, 1},
        {"running", CHECKPOINT_DOUBLES, statistics, running_size(&learner->settings.reward)},
        {"reference", CHECKPOINT_TEXT, reference, (int64_t)strlen(reference)},
        {"lagging", CHECKPOINT_FLOATS, older, older ? parameters->size : 0}};
    if (!s) s = checkpoint_write_state(path, entries, sizeof entries / sizeof *entries);
    if (!s) s = language_save(language, path);
    free(text);
    free(older);
    return s;
}

/* What lies in the folder must be what the learners say they wrote. */
static status slices_compare(const char *path, const struct checkpoint_file *files, int64_t count,
                             const struct checkpoint_file *slices, int64_t slice_count)
{
    for (int64_t i = 0; i < slice_count; i++) {
        bool same = false;
        for (int64_t k = 0; k < count && !same; k++)
            same = !strcmp(files[k].name, slices[i].name) &&
                   !strcmp(files[k].sha256, slices[i].sha256);
        if (!same)
            FAIL(STATUS_INTERNAL, "%s/%s is not what learner %lld wrote; is the folder shared?",
                 path, slices[i].name, (long long)i);
    }
    return NULL;
}

status run_checkpoint_save(struct run_folder *folder, struct learner *learner,
                           const struct language *language, int64_t step, const float *lagging)
{
    struct world *world = folder->world;
    const char *run = folder->options->folder;
    char path[CHECKPOINT_PATH_MAX];
    checkpoint_temporary(run, step, path);
    status s = NULL;
    const bool first = learner->exchange.rank == 0;
    if (first) s = checkpoint_begin(run, step, &folder->attempt);
    if (learner->exchange.count > 1) TRY(learners_barrier(world));
    if (!s && first) s = state_write(folder, learner, language, path, lagging);
    if (!s) s = slice_write(learner, path);
    /* What every learner wrote, hashed by itself; an empty name says that it failed. */
    struct checkpoint_file mine;
    memset(&mine, 0, sizeof mine);
    char name[CHECKPOINT_NAME_MAX];
    checkpoint_slice_name(learner->exchange.rank, learner->exchange.count, name);
    if (!s) s = checkpoint_file_entry(path, name, &mine);
    void *all;
    size_t bytes;
    TRY(learner->exchange.gather(learner->exchange.context, &mine, sizeof mine, &all, &bytes));
    const struct checkpoint_file *slices = all;
    for (size_t i = 0; !s && i < bytes / sizeof *slices; i++)
        if (!slices[i].name[0])
            s = ERROR(STATUS_INTERNAL, "checkpoint %s: learner %zu could not write", path, i);
    if (!s && first) {
        struct checkpoint_file *files = NULL;
        int64_t count = 0;
        s = checkpoint_list_files(path, &files, &count);
        if (!s) s = slices_compare(path, files, count, slices, (int64_t)(bytes / sizeof *slices));
        if (!s) s = metrics_sync(folder->metrics);
        if (!s) s = checkpoint_publish(run, step, folder->attempt, files, count);
        free(files);
        if (!s) s = checkpoint_prune(run, folder->options->config.checkpoint.keep, folder->best);
    }
    free(all);
    if (s && first) checkpoint_abandon(run, step, folder->attempt);
    return s;
}

/* A saved vector of `size` floats: entries [begin, end), at `device`.  Who wrote which part does
 * not matter. */
static status vector_load(struct learner *learner, const char *folder, const char *name,
                          float *device, int64_t size, int64_t begin, int64_t end)
{
    float *host;
    int64_t total;
    TRY(checkpoint_read_vector(folder, name, &host, &total));
    status s = NULL;
    if (total != size)
        s = ERROR(STATUS_INPUT, "%s: vector %s has %lld floats, the model has %lld", folder, name,
                  (long long)total, (long long)size);
    if (!s) {
        learner->queue->op->upload(learner->queue, device, host + begin,
                                   (size_t)(end - begin) * sizeof *host);
        s = learner->queue->op->synchronize(learner->queue);
    }
    free(host);
    return s;
}

/* This learner's slice of a moment. */
static status moment_load(struct learner *learner, const char *folder, const char *name,
                          float *device, const struct optimizer *of)
{
    return vector_load(learner, folder, name, device, of->size, of->begin, of->end);
}

status run_checkpoint_load(struct run_folder *folder, struct learner *learner, float **lagging)
{
    const char *path = folder->checkpoint;
    struct parameters *parameters = model_parameters(learner->policy);
    float *host = memory_allocate((size_t)parameters->size * sizeof *host);
    status s = checkpoint_read_model(path, parameters, host);
    if (!s) s = parameters_upload(parameters, host);
    free(host);
    if (!s) s = model_refresh_update(learner->policy, folder->start);
    struct optimizer *policy = learner->policy_optimizer;
    if (!s) s = moment_load(learner, path, "policy.m", policy->m, policy);
    if (!s) s = moment_load(learner, path, "policy.v", policy->v, policy);
    int64_t *counters = NULL, count = 0;
    if (!s)
        s = checkpoint_read_state(path, "counters", CHECKPOINT_INTEGERS, (void **)&counters,
                                  &count);
    if (!s && count != 5) s = ERROR(STATUS_INPUT, "%s/state.h5: bad counters", path);
    if (!s && (counters[4] != 0) != (learner->critic != NULL))
        s = ERROR(STATUS_INPUT, "%s: a critic is %s the checkpoint", path,
                  counters[4] ? "in" : "missing in");
    if (!s) {
        policy->step = counters[0];
        folder->best = counters[2];
        folder->worse = counters[3];
    }
    if (!s && learner->critic) {
        struct optimizer *critic = learner->critic_optimizer;
        critic->step = counters[1];
        s = vector_load(learner, path, "critic.values", critic_parameters(learner->critic)->values,
                        critic->size, 0, critic->size);
        if (!s) s = moment_load(learner, path, "critic.m", critic->m, critic);
        if (!s) s = moment_load(learner, path, "critic.v", critic->v, critic);
        if (!s) s = critic_refresh_update(learner->critic, folder->start);
    }
    free(counters);
    double *doubles = NULL;
    if (!s)
        s = checkpoint_read_state(path, "running", CHECKPOINT_DOUBLES, (void **)&doubles, &count);
    if (!s && count != running_size(&learner->settings.reward))
        s = ERROR(STATUS_INPUT, "%s/state.h5: bad running statistics", path);
    if (!s) s = running_load(&learner->settings.reward, &learner->statistics, doubles);
    free(doubles);
    doubles = NULL;
    if (!s)
        s = checkpoint_read_state(path, "best_metric", CHECKPOINT_DOUBLES, (void **)&doubles,
                                  &count);
    if (!s && count == 1) folder->best_metric = doubles[0];
    free(doubles);
    char *reference = NULL, hex[65] = "";
    if (!s)
        s = checkpoint_read_state(path, "reference", CHECKPOINT_TEXT, (void **)&reference, &count);
    if (!s && learner->reference) s = parameters_hash(model_parameters(learner->reference), hex);
    if (!s && reference[0] && strcmp(reference, hex) != 0) /* "": of before kl.coef 0 had one */
        s = ERROR(STATUS_INPUT, "%s is not what this run began with: the reference differs",
                  folder->options->config.model.reference_path[0] ? "model.reference_path"
                                                                  : "model.path");
    free(reference);
    if (!s && lagging) {
        *lagging = NULL;
        s = checkpoint_read_state(path, "lagging", CHECKPOINT_FLOATS, (void **)lagging, &count);
        if (!s && count != parameters->size) {
            free(*lagging);
            *lagging = NULL;
        }
    }
    return s;
}
