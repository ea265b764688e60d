/* See run_snapshot.h. */
#include "mpi/run_snapshot.h"

#include "kernels/sleep.h"
#include "mpi/learner_vectors.h"
#include "mpi/reward_words.h"
#include "mpi/run_state.h"
#include "src/base/memory.h"
#include "src/checkpoint/model_folder.h"
#include "src/model/adapted.h"

#include <stdlib.h>

/* Floats of the host that hold what stood on the device. */
struct copy {
    float *values; /* NULL: not taken, or written already */
    int64_t count;
};

struct run_snapshot {
    struct run_snapshot_source source;
    struct copy policy;
    struct state_kept *state;
    struct checkpoint_vector vectors[LEARNER_VECTORS_MAX];
    struct copy copies[LEARNER_VECTORS_MAX]; /* of vectors */
    int64_t vector_count;
};

struct run_snapshot *run_snapshot_create(const struct run_snapshot_source *source)
{
    struct run_snapshot *snapshot = memory_allocate(sizeof *snapshot);
    snapshot->source = *source;
    return snapshot;
}

static size_t copy_bytes(int64_t count)
{
    return (size_t)count * sizeof(float);
}

static status copy_take(struct queue *queue, const float *from, int64_t count, struct copy *copy)
{
    *copy = (struct copy){memory_pages(copy_bytes(count)), count};
    queue->op->download(queue, copy->values, from, copy_bytes(count));
    return queue->op->synchronize(queue);
}

static void copy_release(struct copy *copy)
{
    memory_pages_release(copy->values, copy_bytes(copy->count));
    *copy = (struct copy){.count = 0};
}

static status policy_take(struct run_snapshot *snapshot)
{
    struct learner *learner = snapshot->source.learner;
    char hex[65];
    /* Writing asks for the base's hash, which is kept from the first time on. */
    if (model_base(learner->policy)) TRY(model_base_hash(learner->policy, hex));
    return copy_take(learner->queue, learner->policy_parameters->values,
                     learner->policy_parameters->size, &snapshot->policy);
}

static status policy_write(struct run_snapshot *snapshot, const char *path)
{
    struct model *policy = snapshot->source.learner->policy;
    status s = model_write_trained(policy, snapshot->policy.values, path);
    copy_release(&snapshot->policy);
    if (s || !model_shape(policy)->valued) return s;
    return reward_words_save(&snapshot->source.folder->options->config, path);
}

static status state_take(struct run_snapshot *snapshot)
{
    const struct run_snapshot_source *source = &snapshot->source;
    struct run_state state = {.folder = source->folder,
                              .learner = source->learner,
                              .past = source->past,
                              .step = source->step};
    return run_state_keep(&state, &snapshot->state);
}

static status state_write(struct run_snapshot *snapshot, const char *path)
{
    status s = state_kept_write(snapshot->state, path);
    state_kept_free(snapshot->state);
    snapshot->state = NULL;
    if (!s && queue_is_sleep(snapshot->source.learner->queue)) s = model_folder_mark_stub(path);
    return s ? s : language_save(snapshot->source.language, path);
}

static status slice_take(struct run_snapshot *snapshot)
{
    struct learner *learner = snapshot->source.learner;
    struct learner_vector vectors[LEARNER_VECTORS_MAX];
    status s = NULL;
    const int64_t count = learner_vectors(learner, vectors);
    for (int64_t i = 0; !s && i < count; i++) {
        const struct optimizer *of = vectors[i].of;
        struct copy *copy = &snapshot->copies[i];
        s = copy_take(learner->queue, vectors[i].values, of->end - of->begin, copy);
        snapshot->vectors[i] = (struct checkpoint_vector){.name = vectors[i].name,
                                                          .values = copy->values,
                                                          .count = copy->count,
                                                          .total = of->size,
                                                          .offset = of->begin};
    }
    snapshot->vector_count = count;
    return s;
}

static status slice_write(struct run_snapshot *snapshot, const char *path)
{
    const struct learner_exchange *exchange = &snapshot->source.learner->exchange;
    status s = checkpoint_write_slice(path, exchange->rank, exchange->count, snapshot->vectors,
                                      snapshot->vector_count);
    for (int64_t i = 0; i < snapshot->vector_count; i++) copy_release(&snapshot->copies[i]);
    return s;
}

static const struct {
    status (*take)(struct run_snapshot *snapshot);
    status (*write)(struct run_snapshot *snapshot, const char *path);
    bool first; /* learner 0's alone */
} pieces[SNAPSHOT_PIECES] = {[SNAPSHOT_POLICY] = {policy_take, policy_write, true},
                             [SNAPSHOT_STATE] = {state_take, state_write, true},
                             [SNAPSHOT_SLICE] = {slice_take, slice_write, false}};

static bool holds(const struct run_snapshot *snapshot, enum run_snapshot_piece piece)
{
    return !pieces[piece].first || snapshot->source.learner->exchange.rank == 0;
}

status run_snapshot_take(struct run_snapshot *snapshot, enum run_snapshot_piece piece)
{
    return holds(snapshot, piece) ? pieces[piece].take(snapshot) : NULL;
}

status run_snapshot_write(struct run_snapshot *snapshot, enum run_snapshot_piece piece,
                          const char *path)
{
    return holds(snapshot, piece) ? pieces[piece].write(snapshot, path) : NULL;
}

void run_snapshot_destroy(struct run_snapshot *snapshot)
{
    if (!snapshot) return;
    copy_release(&snapshot->policy);
    state_kept_free(snapshot->state);
    for (int64_t i = 0; i < LEARNER_VECTORS_MAX; i++) copy_release(&snapshot->copies[i]);
    free(snapshot);
}

int64_t run_snapshot_bytes(const struct learner *learner, int64_t past)
{
    struct learner_vector vectors[LEARNER_VECTORS_MAX];
    const int64_t count = learner_vectors(learner, vectors);
    int64_t floats = learner->exchange.rank ? 0 : learner->policy_parameters->size * (1 + past);
    for (int64_t i = 0; i < count; i++) floats += vectors[i].of->end - vectors[i].of->begin;
    return floats * (int64_t)sizeof(float);
}
