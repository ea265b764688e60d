/* See run_checkpoint.h; the protocol is src/checkpoint/checkpoint.h's. */
#include "mpi/run_checkpoint.h"

#include "kernels/sleep.h"
#include "mpi/reward_words.h"
#include "mpi/run_state.h"
#include "mpi/setup.h"
#include "src/base/file.h"
#include "src/base/memory.h"
#include "src/checkpoint/adapter_folder.h"

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

/* A flat vector of the optimizer state.  Of moments a learner has its slice alone, from `begin` on.
 */
struct learner_vector {
    const char *name;
    float *values; /* of what is saved: elements [begin, end) of the optimizer's */
    float *whole;  /* NULL: a learner needs its slice alone; else what is loaded, all of it */
    const struct optimizer *of;
};

enum { VECTORS_MAX = 6 };

/* Of reference.every: where the reference now stands. */
static int64_t reference_vector(const struct learner *learner, int64_t count,
                                struct learner_vector out[VECTORS_MAX])
{
    if (!learner->settings.reference_every) return count;
    const struct optimizer *like = learner->policy_optimizer; /* as many, in the same slices */
    float *values = model_trained(learner->reference)->values;
    out[count] = (struct learner_vector){"reference.values", values + like->begin, values, like};
    return count + 1;
}

static int64_t vectors_of(const struct learner *learner, struct learner_vector out[VECTORS_MAX])
{
    const struct optimizer *policy = learner->policy_optimizer, *critic = learner->critic_optimizer;
    out[0] = (struct learner_vector){"policy.m", policy->m, NULL, policy};
    out[1] = (struct learner_vector){"policy.v", policy->v, NULL, policy};
    if (!critic) return reference_vector(learner, 2, out);
    float *values = learner->critic_parameters->values;
    out[2] = (struct learner_vector){"critic.values", values + critic->begin, values, critic};
    out[3] = (struct learner_vector){"critic.m", critic->m, NULL, critic};
    out[4] = (struct learner_vector){"critic.v", critic->v, NULL, critic};
    return reference_vector(learner, 5, out);
}

/* This learner's slice of every vector. */
static status slice_write(struct learner *learner, const char *path)
{
    struct learner_vector vectors[VECTORS_MAX];
    struct checkpoint_vector parts[VECTORS_MAX];
    float *hosts[VECTORS_MAX] = {NULL};
    const int64_t count = vectors_of(learner, vectors);
    status s = NULL;
    for (int64_t i = 0; !s && i < count; i++) {
        const struct optimizer *of = vectors[i].of;
        const int64_t size = of->end - of->begin;
        hosts[i] = download(learner->queue, vectors[i].values, size, &s);
        parts[i] = (struct checkpoint_vector){.name = vectors[i].name,
                                              .values = hosts[i],
                                              .count = size,
                                              .total = of->size,
                                              .offset = of->begin};
    }
    if (!s)
        s = checkpoint_write_slice(path, learner->exchange.rank, learner->exchange.count, parts,
                                   count);
    for (int64_t i = 0; i < count; i++) free(hosts[i]);
    return s;
}

/* RUN/base, once: a new model, which no other folder holds, under adapters that name it. */
static status base_keep(const struct run_folder *folder, struct model *policy)
{
    struct model *base = model_base(policy);
    char path[CHECKPOINT_PATH_MAX + 16];
    if (!base || strcmp(model_base_name(policy), RUN_BASE_FROM_CHECKPOINT) != 0) return NULL;
    snprintf(path, sizeof path, "%s/" RUN_BASE, folder->options->folder);
    if (model_is_checkpoint(path)) return NULL;
    TRY(directory_create(path));
    return model_save_imported(base, true, NULL, path);
}

/* Rank 0's files: model.h5, state.h5, tokenizer, idf table. */
static status state_write(struct run_folder *folder, struct learner *learner,
                          const struct language *language, const char *path, int64_t step,
                          struct past_weights *past)
{
    status s = NULL;
    const struct parameters *parameters = learner->policy_parameters;
    float *values = download(learner->queue, parameters->values, parameters->size, &s);
    if (!s) s = base_keep(folder, learner->policy);
    if (!s) s = model_write_trained(learner->policy, values, path);
    if (!s && model_shape(learner->policy)->valued)
        s = reward_words_save(&folder->options->config, path);
    free(values);
    struct run_state state = {.folder = folder, .learner = learner, .past = past, .step = step};
    if (!s) s = run_state_save(&state, path);
    if (!s && queue_is_sleep(learner->queue)) s = model_folder_mark_stub(path);
    return s ? s : language_save(language, path);
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
                           const struct language *language, int64_t step, struct past_weights *past)
{
    struct world *world = folder->world;
    const char *run = folder->options->folder;
    char path[CHECKPOINT_PATH_MAX];
    checkpoint_temporary(run, step, path);
    status s = NULL;
    const bool first = learner->exchange.rank == 0;
    if (first) s = checkpoint_begin(run, step, &folder->attempt);
    if (learner->exchange.count > 1) TRY(learners_barrier(world));
    evaluations_saved(&folder->evaluations, step);
    if (!s && first) s = state_write(folder, learner, language, path, step, past);
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
        if (!s) run_folder_link(folder, step);
        if (!s)
            s = checkpoint_prune(run, folder->options->config.checkpoint.keep,
                                 folder->evaluations.best_saved);
    }
    free(all);
    if (s && first) checkpoint_abandon(run, step, folder->attempt);
    return s;
}

/* What this learner needs of a saved vector, whoever wrote which part of it. */
static status vector_load(struct learner *learner, const char *folder,
                          const struct learner_vector *vector)
{
    const struct optimizer *of = vector->of;
    const int64_t begin = vector->whole ? 0 : of->begin, end = vector->whole ? of->size : of->end;
    float *host, *device = vector->whole ? vector->whole : vector->values;
    int64_t total;
    TRY(checkpoint_read_vector(folder, vector->name, &host, &total));
    status s = NULL;
    if (total != of->size)
        s = ERROR(STATUS_INPUT, "%s: vector %s has %lld floats, the model has %lld", folder,
                  vector->name, (long long)total, (long long)of->size);
    if (!s) {
        learner->queue->op->upload(learner->queue, device, host + begin,
                                   (size_t)(end - begin) * sizeof *host);
        s = learner->queue->op->synchronize(learner->queue);
    }
    free(host);
    return s;
}

static status policy_load(struct learner *learner, const char *path, int64_t step)
{
    if (model_base(learner->policy)) {
        TRY(adapter_folder_load(path, learner->policy));
        return model_refresh_update(learner->policy, step);
    }
    TRY(checkpoint_load_model(path, learner->policy_parameters));
    return model_refresh_update(learner->policy, step);
}

status run_checkpoint_load(struct run_folder *folder, struct learner *learner,
                           struct past_weights *past)
{
    const char *path = folder->checkpoint;
    struct run_state state = {
        .folder = folder, .learner = learner, .past = past, .step = folder->start};
    struct learner_vector vectors[VECTORS_MAX];
    const int64_t count = vectors_of(learner, vectors);
    TRY(model_folder_computed(path, learner->queue));
    TRY(policy_load(learner, path, folder->start));
    TRY(run_state_load(&state, path));
    for (int64_t i = 0; i < count; i++) TRY(vector_load(learner, path, &vectors[i]));
    const int64_t every = learner->settings.reference_every;
    if (every && folder->start >= every)
        TRY(model_refresh_update(learner->reference, folder->start - folder->start % every));
    return learner->critic ? value_model_refresh_update(learner->critic, folder->start) : NULL;
}
