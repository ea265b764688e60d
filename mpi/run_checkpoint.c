/* See run_checkpoint.h; the protocol is src/checkpoint/checkpoint.h's. */
#include "mpi/run_checkpoint.h"

#include "mpi/learner_vectors.h"
#include "mpi/run_snapshot.h"
#include "mpi/run_state.h"
#include "mpi/setup.h"
#include "mpi/transport_mpi.h"
#include "src/base/file.h"
#include "src/base/log.h"
#include "src/base/memory.h"
#include "src/base/timeline.h"
#include "src/checkpoint/adapter_folder.h"
#include "src/checkpoint/model_folder.h"
#include "src/model/adapted.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

bool run_checkpoint_due(const struct config *config, int64_t step, bool last)
{
    const int64_t every = config->checkpoint.every;
    return last || (every > 0 && step % every == 0);
}

/* ---- one save ---- */

/* What a learner tells the others of its writing. */
struct written {
    int64_t ended;
    struct checkpoint_file file; /* hashed by itself; an empty name says that it failed */
};

struct run_save {
    /* Set before a thread begins, and then read alone. */
    struct run_folder *folder;
    const struct learner_exchange *exchange;
    struct learner *learner;
    char path[CHECKPOINT_PATH_MAX];
    int64_t step, best;             /* the best that was saved before it */
    bool alone;                     /* one learner, in the background: its thread publishes too */
    bool publishing;                /* rank 0: all learners have written */
    struct checkpoint_file *slices; /* then: of all of them */
    int64_t slice_count;
    /* The thread's until it has ended. */
    struct run_snapshot *snapshot;
    struct checkpoint_file mine;
    status error;
    pthread_t thread;
    bool threaded;
    atomic_bool ended;
};

static bool first(const struct run_save *save)
{
    return save->exchange->rank == 0;
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

/* Hashes what this learner wrote, for learner 0, who sees whether the same lies in the folder. */
static status slice_hash(struct run_save *save)
{
    char name[CHECKPOINT_NAME_MAX];
    if (save->alone) return NULL;
    checkpoint_slice_name(save->exchange->rank, save->exchange->count, name);
    return checkpoint_file_entry(save->path, name, &save->mine);
}

/* Of a snapshot that all pieces were taken of; a piece's memory goes when it is written. */
static status pieces_write(struct run_save *save)
{
    run_snapshot_settle(save->snapshot);
    for (int piece = 0; piece < SNAPSHOT_PIECES; piece++)
        TRY(run_snapshot_write(save->snapshot, piece, save->path));
    return slice_hash(save);
}

/* Piece by piece, so that memory holds one at a time. */
static status pieces_take_write(struct run_save *save)
{
    for (int piece = 0; piece < SNAPSHOT_PIECES; piece++) {
        TRY(run_snapshot_take(save->snapshot, piece));
        TRY(run_snapshot_write(save->snapshot, piece, save->path));
    }
    return slice_hash(save);
}

static status links_make(const struct run_save *save)
{
    const char *run = save->folder->options->folder;
    TRY(checkpoint_link(run, CHECKPOINT_NEWEST, save->step));
    return checkpoint_link(run, CHECKPOINT_BEST, save->best);
}

static status publish(struct run_save *save)
{
    const struct run_folder *folder = save->folder;
    const char *run = folder->options->folder;
    struct checkpoint_file *files = NULL;
    int64_t count = 0;
    status s = checkpoint_list_files(save->path, &files, &count);
    if (!s) s = slices_compare(save->path, files, count, save->slices, save->slice_count);
    if (!s) s = metrics_sync(folder->metrics);
    if (!s) s = checkpoint_publish(run, save->step, folder->attempt, files, count);
    free(files);
    if (s) return s;
    status_free(links_make(save)); /* run_folder_link says what is wrong with links */
    return checkpoint_prune(run, folder->options->config.checkpoint.keep, save->best);
}

/* ---- its thread ---- */

/* Of a learner alone, which has nobody to agree with and no other's slice to compare. */
static status pieces_publish(struct run_save *save)
{
    TRY(pieces_write(save));
    return publish(save);
}

static void *thread_run(void *data)
{
    struct run_save *save = data;
    timeline_open("checkpoint");
    timeline_begin(TIME_SAVE);
    save->error = save->alone        ? pieces_publish(save)
                  : save->publishing ? publish(save)
                                     : pieces_write(save);
    timeline_end();
    timeline_close();
    atomic_store(&save->ended, true);
    return NULL;
}

/* Signals are for the thread that learns. */
static void thread_begin(struct run_save *save)
{
    sigset_t all, before;
    atomic_store(&save->ended, false);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int refused = pthread_create(&save->thread, NULL, thread_run, save);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    save->threaded = !refused;
    if (!refused) return;
    save->error = ERROR(STATUS_INTERNAL,
                        "checkpoint %s: no thread to write it: %s; set checkpoint.background "
                        "to false",
                        save->path, strerror(refused));
    atomic_store(&save->ended, true);
}

/* Meanwhile what is on its way to other ranks moves on, and the watchdog knows why this one waits.
 */
static void thread_wait(struct run_save *save)
{
    struct transport_wait wait;
    transport_wait_begin(&wait);
    while (save->threaded && !atomic_load(&save->ended))
        transport_wait_more(save->folder->world, &wait, "its disk, to write a checkpoint");
    if (save->threaded) pthread_join(save->thread, NULL);
    save->threaded = false;
}

/* The thread that learns is about to change what the snapshot is copied from. */
static void copies_wait(void *context)
{
    struct run_save *save = context;
    timeline_begin(TIME_SAVE);
    run_snapshot_settle(save->snapshot);
    timeline_end();
    save->learner->before_change = NULL;
}

/* ---- from its beginning to its end ---- */

/* The save is over, with the error, if there is one. */
static status save_end(struct run_save *save, status s)
{
    struct run_folder *folder = save->folder;
    folder->save = NULL;
    save->learner->before_change = NULL;
    if (first(save) && s) checkpoint_abandon(folder->options->folder, save->step, folder->attempt);
    if (first(save) && !s) run_folder_link(folder, save->step);
    run_snapshot_destroy(save->snapshot);
    free(save->slices);
    free(save);
    return s;
}

/* Every learner's outcome, once all have written: NULL, or on each of them an error. */
static status outcome(struct run_save *save, const struct written *all)
{
    status s = save->error;
    save->error = NULL;
    for (int64_t i = 0; !s && i < save->exchange->count; i++)
        if (!all[i].file.name[0])
            s = ERROR(STATUS_INTERNAL, "checkpoint %s: learner %lld could not write", save->path,
                      (long long)i);
    return s;
}

/* Learners tell each other how far they are; when all have written, rank 0 goes on to publish. */
static status writing_agree(struct run_save *save)
{
    struct written mine;
    void *gathered;
    size_t bytes;
    bool ended = true;
    memset(&mine, 0, sizeof mine);
    mine.ended = atomic_load(&save->ended);
    if (mine.ended && !save->error) mine.file = save->mine;
    TRY(save->exchange->gather(save->exchange->context, &mine, sizeof mine, &gathered, &bytes));
    const struct written *all = gathered;
    for (int64_t i = 0; i < save->exchange->count; i++) ended = ended && all[i].ended;
    if (!ended) {
        free(gathered);
        return NULL;
    }
    thread_wait(save);
    status s = outcome(save, all);
    if (s || !first(save)) {
        free(gathered);
        return save_end(save, s);
    }
    save->slice_count = save->exchange->count;
    save->slices = memory_allocate((size_t)save->slice_count * sizeof *save->slices);
    for (int64_t i = 0; i < save->slice_count; i++) save->slices[i] = all[i].file;
    free(gathered);
    save->publishing = true;
    return NULL;
}

/* Rank 0, when its thread is done with publishing. */
static status publishing_end(struct run_save *save)
{
    thread_wait(save);
    status s = save->error;
    save->error = NULL;
    return save_end(save, s);
}

status run_checkpoint_poll(struct run_folder *folder)
{
    struct run_save *save = folder->save;
    if (!save) return NULL;
    if (save->alone || save->publishing)
        return atomic_load(&save->ended) ? publishing_end(save) : NULL;
    TRY(writing_agree(save));
    if (folder->save && save->publishing) thread_begin(save);
    return NULL;
}

status run_checkpoint_finish(struct run_folder *folder)
{
    struct run_save *save = folder->save;
    if (!save) return NULL;
    thread_wait(save);
    if (!save->alone && !save->publishing) {
        TRY(writing_agree(save));
        if (!folder->save) return NULL;
        if (folder->options->config.checkpoint.background)
            thread_begin(save);
        else
            save->error = publish(save);
    }
    return publishing_end(save);
}

void run_checkpoint_break(struct run_folder *folder, const char *why)
{
    struct run_save *save = folder->save;
    if (!save) return;
    if (!save->alone && !save->publishing) {
        log_line(LOG_WARNING,
                 "the checkpoint of update %lld, which was being written, is not published, since "
                 "the run ends by an error",
                 (long long)save->step);
        return; /* to its thread, until the process ends */
    }
    log_line(LOG_WARNING, "ends by an error once the checkpoint of update %lld is published: %s",
             (long long)save->step, why);
    status s = publishing_end(save);
    if (s) log_line(LOG_WARNING, "the checkpoint being written: %s", status_message(s));
    status_free(s);
}

/* Rank 0 says once that saves come faster than they are written. */
static void waiting_tell(struct run_folder *folder, int64_t step)
{
    if (!folder->save || folder->save_waited || folder->world->rank != 0) return;
    folder->save_waited = true;
    log_line(
        LOG_WARNING,
        "the checkpoint of update %lld waits for that of update %lld to be written; where this "
        "costs too much, raise checkpoint.every (said once)",
        (long long)step, (long long)folder->save->step);
}

/* The folder that all learners write into; the save begins. */
static status save_begin(struct run_save *save)
{
    struct run_folder *folder = save->folder;
    const char *run = folder->options->folder;
    checkpoint_temporary(run, save->step, save->path);
    if (first(save)) save->error = checkpoint_begin(run, save->step, &folder->attempt);
    if (save->exchange->count > 1) TRY(learners_barrier(folder->world));
    evaluations_saved(&folder->evaluations, save->step);
    save->best = folder->evaluations.best_saved;
    if (!save->error && first(save)) save->error = base_keep(folder, save->learner->policy);
    return NULL;
}

status run_checkpoint_save(struct run_folder *folder, struct learner *learner,
                           const struct language *language, int64_t step, struct past_weights *past)
{
    const bool background = folder->options->config.checkpoint.background;
    const struct run_snapshot_source source = {.folder = folder,
                                               .learner = learner,
                                               .language = language,
                                               .step = step,
                                               .past = past,
                                               .apart = background};
    TRY(run_checkpoint_poll(folder));
    waiting_tell(folder, step);
    TRY(run_checkpoint_finish(folder));
    struct run_save *save = memory_allocate(sizeof *save);
    *save = (struct run_save){.folder = folder,
                              .exchange = &learner->exchange,
                              .learner = learner,
                              .alone = background && learner->exchange.count == 1,
                              .step = step};
    folder->save = save;
    save->snapshot = run_snapshot_create(&source);
    TRY(save_begin(save));
    for (int piece = 0; background && !save->error && piece < SNAPSHOT_PIECES; piece++)
        save->error = run_snapshot_take(save->snapshot, piece);
    if (!save->error && !background) save->error = pieces_take_write(save);
    if (!save->error && background) {
        learner->before_change = copies_wait;
        learner->change_context = save;
        thread_begin(save);
    } else
        atomic_store(&save->ended, true);
    return background ? NULL : run_checkpoint_finish(folder); /* all learners alike */
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
    struct learner_vector vectors[LEARNER_VECTORS_MAX];
    const int64_t count = learner_vectors(learner, vectors);
    TRY(model_folder_computed(path, learner->queue));
    TRY(policy_load(learner, path, folder->start));
    TRY(run_state_load(&state, path));
    for (int64_t i = 0; i < count; i++) TRY(vector_load(learner, path, &vectors[i]));
    const int64_t every = learner->settings.reference_every;
    if (every && folder->start >= every)
        TRY(model_refresh_update(learner->reference, folder->start - folder->start % every));
    return learner->critic ? value_model_refresh_update(learner->critic, folder->start) : NULL;
}
