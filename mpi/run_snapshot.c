/* See run_snapshot.h. */
#include "mpi/run_snapshot.h"

#include "kernels/sleep.h"
#include "mpi/learner_vectors.h"
#include "mpi/reward_words.h"
#include "mpi/run_state.h"
#include "src/base/live_copies.h"
#include "src/base/memory.h"
#include "src/checkpoint/model_folder.h"
#include "src/model/adapted.h"

#include <stdlib.h>

/* Floats that are written: the learner's own or, once there are pages and they are filled, these.
 */
struct copy {
    const float *values;
    float *pages; /* host; NULL: none, or written already */
    int64_t count;
};

struct run_snapshot {
    struct run_snapshot_source source;
    struct live_copies copies; /* of pages that are filled while the learner works on */
    struct copy policy;
    struct copy reference; /* whole, where its hash has to be taken */
    struct state_kept *state;
    struct checkpoint_vector vectors[LEARNER_VECTORS_MAX];
    struct copy slices[LEARNER_VECTORS_MAX]; /* of vectors */
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

/* What lies on a device is brought to the host at once, what lies there already is copied by
 * run_snapshot_settle; changes: not at all, if it does not. */
static status copy_take(struct run_snapshot *snapshot, const float *from, int64_t count,
                        bool changes, struct copy *copy)
{
    struct queue *queue = snapshot->source.learner->queue;
    *copy = (struct copy){.values = from, .count = count};
    if (queue->on_host && !(changes && snapshot->source.apart)) return NULL;
    copy->pages = memory_pages(copy_bytes(count));
    copy->values = copy->pages;
    if (queue->on_host) {
        live_copies_add(&snapshot->copies, from, copy->pages, count);
        return NULL;
    }
    queue->op->download(queue, copy->pages, from, copy_bytes(count));
    return queue->op->synchronize(queue);
}

static void copy_release(struct copy *copy)
{
    memory_pages_release(copy->pages, copy_bytes(copy->count));
    *copy = (struct copy){.count = 0};
}

static status policy_take(struct run_snapshot *snapshot)
{
    struct learner *learner = snapshot->source.learner;
    char hex[65];
    /* Writing asks for the base's hash, which is kept from the first time on. */
    if (model_base(learner->policy) && !learner->queue->on_host)
        TRY(model_base_hash(learner->policy, hex));
    return copy_take(snapshot, learner->policy_parameters->values, learner->policy_parameters->size,
                     true, &snapshot->policy);
}

static status policy_write(struct run_snapshot *snapshot, const char *path)
{
    struct model *policy = snapshot->source.learner->policy;
    status s = model_write_trained(policy, snapshot->policy.values, path);
    copy_release(&snapshot->policy);
    if (s || !model_shape(policy)->valued) return s;
    return reward_words_save(&snapshot->source.folder->options->config, path);
}

/* One that stands still is hashed once. */
static status reference_take(struct run_snapshot *snapshot)
{
    const struct learner *learner = snapshot->source.learner;
    const bool moves = learner->settings.reference_every > 0;
    if (!learner->reference || (snapshot->source.folder->reference_hash[0] && !moves)) return NULL;
    const struct parameters *reference = model_trained(learner->reference);
    return copy_take(snapshot, reference->values, reference->size, moves, &snapshot->reference);
}

static status reference_hash(struct run_snapshot *snapshot)
{
    char *hex = snapshot->source.folder->reference_hash;
    if (!snapshot->reference.count) return NULL;
    TRY(parameters_hash_values(model_trained(snapshot->source.learner->reference),
                               snapshot->reference.values, hex));
    state_kept_text(snapshot->state, RUN_STATE_REFERENCE, hex);
    return NULL;
}

static status state_take(struct run_snapshot *snapshot)
{
    const struct run_snapshot_source *source = &snapshot->source;
    struct run_state state = {.folder = source->folder,
                              .learner = source->learner,
                              .past = source->past,
                              .step = source->step};
    TRY(run_state_keep(&state, &snapshot->state));
    return reference_take(snapshot);
}

static status state_write(struct run_snapshot *snapshot, const char *path)
{
    status s = reference_hash(snapshot);
    if (!s) s = state_kept_write(snapshot->state, path);
    state_kept_free(snapshot->state);
    snapshot->state = NULL;
    if (!s && queue_is_sleep(snapshot->source.learner->queue)) s = model_folder_mark_stub(path);
    return s ? s : language_save(snapshot->source.language, path);
}

/* This learner's slice of a vector; that of a reference that is there whole is a part of it. */
static status vector_take(struct run_snapshot *snapshot, const struct learner_vector *vector,
                          struct copy *copy)
{
    const struct optimizer *of = vector->of;
    const struct copy *reference = &snapshot->reference;
    if (!reference->count ||
        vector->whole != model_trained(snapshot->source.learner->reference)->values)
        return copy_take(snapshot, vector->values, of->end - of->begin, true, copy);
    *copy = (struct copy){.values = reference->values + of->begin, .count = of->end - of->begin};
    return NULL;
}

static status slice_take(struct run_snapshot *snapshot)
{
    struct learner_vector vectors[LEARNER_VECTORS_MAX];
    status s = NULL;
    const int64_t count = learner_vectors(snapshot->source.learner, vectors);
    for (int64_t i = 0; !s && i < count; i++) {
        const struct optimizer *of = vectors[i].of;
        struct copy *copy = &snapshot->slices[i];
        s = vector_take(snapshot, &vectors[i], copy);
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
    for (int64_t i = 0; i < snapshot->vector_count; i++) copy_release(&snapshot->slices[i]);
    copy_release(&snapshot->reference);
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

void run_snapshot_settle(struct run_snapshot *snapshot)
{
    live_copies_finish(&snapshot->copies);
}

void run_snapshot_destroy(struct run_snapshot *snapshot)
{
    if (!snapshot) return;
    copy_release(&snapshot->policy);
    copy_release(&snapshot->reference);
    state_kept_free(snapshot->state);
    for (int64_t i = 0; i < LEARNER_VECTORS_MAX; i++) copy_release(&snapshot->slices[i]);
    free(snapshot);
}

int64_t run_snapshot_bytes(const struct learner *learner, int64_t past)
{
    const bool first = learner->exchange.rank == 0, moves = learner->settings.reference_every > 0;
    const int64_t size = learner->policy_parameters->size;
    struct learner_vector vectors[LEARNER_VECTORS_MAX];
    const int64_t count = learner_vectors(learner, vectors);
    int64_t floats = first ? size * (1 + past) : 0;
    for (int64_t i = 0; i < count; i++) floats += vectors[i].of->end - vectors[i].of->begin;
    /* The reference is taken whole, where it moves in place of its slice, or to be hashed once. */
    if (first && moves)
        floats += size - (learner->policy_optimizer->end - learner->policy_optimizer->begin);
    else if (first && learner->reference && !learner->queue->on_host)
        floats += model_trained(learner->reference)->size;
    return floats * (int64_t)sizeof(float);
}
