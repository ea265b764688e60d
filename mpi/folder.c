/* The run folder, checkpoints and resume; see folder.h. */
#include "mpi/folder.h"

#include "src/base/arena.h"
#include "src/base/file.h"
#include "src/base/log.h"
#include "src/checkpoint/model_folder.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static status exchange_sum(void *context, float *values, int64_t count)
{
    return learners_tree_sum(context, values, count);
}

static status exchange_gather(void *context, const void *mine, size_t bytes, void **all,
                              size_t *total)
{
    struct world *world = context;
    char *data;
    size_t *sizes;
    TRY(learners_allgather_bytes(world, mine, bytes, &data, &sizes));
    *total = 0;
    for (int i = 0; i < world->learners; i++) *total += sizes[i];
    free(sizes);
    *all = data;
    return NULL;
}

void run_exchange(struct world *world, struct learner_exchange *exchange)
{
    if (world->learners == 1) {
        learner_exchange_alone(exchange);
        return;
    }
    *exchange = (struct learner_exchange){world, world->learner, world->learners, exchange_sum,
                                          exchange_gather};
}

/* Whether the saved configuration allows to go on with the present one. */
static status resume_check(const struct run_folder *folder)
{
    char *text;
    int64_t count;
    TRY(checkpoint_read_state(folder->checkpoint, "config", CHECKPOINT_TEXT, (void **)&text,
                              &count));
    char name[CHECKPOINT_PATH_MAX + 64];
    snprintf(name, sizeof name, "%s/state.h5, saved configuration", folder->checkpoint);
    struct config before;
    config_defaults(&before);
    status s = config_read_text(&before, name, text, (size_t)count);
    free(text);
    TRY(s);
    const char *key = config_resume_conflict(&before, &folder->options->config);
    if (key)
        FAIL(STATUS_INPUT,
             "%s: key %s differs from the run that is resumed; set it back or start a new --run",
             folder->checkpoint, key);
    char *kind;
    TRY(checkpoint_read_state(folder->checkpoint, "kind", CHECKPOINT_TEXT, (void **)&kind, &count));
    if (strcmp(kind, folder->kind) != 0)
        s = ERROR(STATUS_INPUT, "%s is a checkpoint of `%s`, not of `%s`", folder->checkpoint, kind,
                  folder->kind);
    free(kind);
    return s;
}

static status folder_find(struct run_folder *folder)
{
    const struct run_options *options = folder->options;
    char config_path[1200];
    snprintf(config_path, sizeof config_path, "%s/config.yaml", options->folder);
    if (options->resume == RUN_FRESH) {
        if (file_exists(config_path))
            FAIL(STATUS_INPUT, "--run %s holds a run already; add --resume or name another folder",
                 options->folder);
        return NULL;
    }
    folder->start = -1;
    char checkpoints[1200];
    snprintf(checkpoints, sizeof checkpoints, "%s/checkpoints", options->folder);
    if (directory_exists(checkpoints))
        TRY(checkpoint_newest(options->folder, folder->checkpoint, &folder->start));
    if (folder->start < 0 && options->resume == RUN_RESUME)
        FAIL(STATUS_INPUT,
             "--resume: %s holds no checkpoint; start without it, or with --resume=auto",
             options->folder);
    if (folder->start < 0) {
        folder->checkpoint[0] = 0;
        folder->start = 0;
        log_line(LOG_INFO, "%s: no checkpoint, starting at the beginning", options->folder);
        return NULL;
    }
    log_line(LOG_INFO, "going on from %s", folder->checkpoint);
    return resume_check(folder);
}

status run_folder_open(struct world *world, const struct run_options *options, const char *kind,
                       struct run_folder *folder)
{
    *folder = (struct run_folder){
        .options = options, .world = world, .kind = kind, .best = -1, .best_metric = 0};
    status s = NULL;
    if (world->rank == 0) s = folder_find(folder);
    TRY(world_agree(world, s));
    TRY(world_broadcast(world, folder->checkpoint, sizeof folder->checkpoint, 0));
    return world_broadcast(world, &folder->start, sizeof folder->start, 0);
}

/* RUN/about.txt: what this folder is, for whoever finds it. */
static status about_write(const struct run_folder *folder)
{
    const struct run_options *options = folder->options;
    char path[1200], host[256] = "?";
    gethostname(host, sizeof host - 1);
    snprintf(path, sizeof path, "%s/about.txt", options->folder);
    struct file_writer writer;
    TRY(file_begin(&writer, path));
    fprintf(writer.stream,
            "A run of `regard %s`, %s, on %s with %d ranks, %d of them learners.\n"
            "%s%s\n\n"
            "config.yaml         the resolved configuration\n"
            "metrics.jsonl       a JSON object an update; eval_* and valid_* are held out\n"
            "events.out.*        the same for TensorBoard: tensorboard --logdir %s\n"
            "checkpoints/        step-NNNNNN after so many updates; each serves as --model\n"
            "samples/            replies at the evaluations (train)\n\n"
            "Go on:    regard %s --config %s/config.yaml --run %s --resume\n"
            "Look in:  regard inspect %s/checkpoints/step-NNNNNN\n",
            folder->kind, options->version, host, folder->world->size, folder->world->learners,
            folder->checkpoint[0] ? "Resumed from " : "Started at the beginning",
            folder->checkpoint, options->folder, folder->kind, options->folder, options->folder,
            options->folder);
    status s = file_commit(&writer);
    file_abandon(&writer);
    return s;
}

status run_folder_start(struct run_folder *folder, int64_t total)
{
    if (folder->world->rank != 0) return NULL;
    const struct run_options *options = folder->options;
    TRY(directory_create_all(options->folder));
    char path[1200];
    snprintf(path, sizeof path, "%s/config.yaml", options->folder);
    struct file_writer writer;
    TRY(file_begin(&writer, path));
    status s = config_print(&options->config, writer.stream);
    if (!s) s = file_commit(&writer);
    file_abandon(&writer);
    if (s) return s;
    TRY(about_write(folder));
    TRY(metrics_open(&folder->metrics, options->folder,
                     folder->checkpoint[0] ? folder->start : -1));
    TRY(tensorboard_open(&folder->board, options->folder));
    progress_begin(&folder->progress, stderr, folder->kind, folder->start, total);
    return NULL;
}

void run_folder_close(struct run_folder *folder)
{
    if (folder->world->rank != 0 || !folder->metrics) return;
    progress_end(&folder->progress);
    metrics_close(folder->metrics);
    if (folder->board) tensorboard_close(folder->board);
    folder->metrics = NULL;
}

status run_folder_report(struct run_folder *folder, int64_t step, double seconds, double tokens,
                         const struct metric *list, int64_t count)
{
    TRY(metrics_write(folder->metrics, step, list, count));
    TRY(tensorboard_write(folder->board, step, list, count));
    progress_step(&folder->progress, step, seconds, tokens, list, count < 4 ? count : 4);
    return NULL;
}

status run_model_open(const struct config *config, struct queue *queue, bool with_gradients,
                      const struct language *language, struct t5 **out)
{
    if (config->model.path[0]) return model_open(config->model.path, queue, with_gradients, out);
    if (!language->tokenizer)
        FAIL(STATUS_INPUT, "a new model needs a tokenizer; set tokenizer.path (or model.path)");
    const int64_t size = tokenizer_size(language->tokenizer);
    if (config->model.vocabulary && config->model.vocabulary < size)
        FAIL(STATUS_INPUT, "model.vocabulary is %lld but the tokenizer has %lld ids",
             (long long)config->model.vocabulary, (long long)size);
    const struct t5_shape shape = {.vocabulary =
                                       config->model.vocabulary ? config->model.vocabulary : size,
                                   .d_model = config->model.d_model,
                                   .d_kv = config->model.d_kv,
                                   .d_ff = config->model.d_ff,
                                   .heads = config->model.heads,
                                   .encoder_layers = config->model.encoder_layers,
                                   .decoder_layers = config->model.decoder_layers,
                                   .buckets = 32,
                                   .max_distance = 128,
                                   .gated = config->model.gated,
                                   .tied = config->model.tied,
                                   .scale_logits = config->model.tied,
                                   .eps = 1e-6f,
                                   .pad = tokenizer_pad(language->tokenizer),
                                   .end = tokenizer_end(language->tokenizer),
                                   .decoder_start = tokenizer_pad(language->tokenizer)};
    TRY(t5_create(queue, &shape, with_gradients, out));
    status s = t5_initialize(*out, config->seed);
    if (!s) s = t5_refresh(*out);
    if (s) t5_destroy(*out);
    return s;
}

static float *download(struct queue *queue, const float *values, int64_t count, status *s)
{
    float *host = memory_allocate((size_t)count * sizeof *host);
    queue->op->download(queue, host, values, (size_t)count * sizeof *host);
    *s = queue->op->synchronize(queue);
    return host;
}

enum { VECTOR_MOST = 5 };

/* This learner's part of every flat vector of the optimizer state. */
static status slice_write(struct run_folder *folder, struct learner *learner, const char *path)
{
    const int rank = learner->exchange.rank, learners = learner->exchange.count;
    struct checkpoint_vector vectors[VECTOR_MOST];
    float *hosts[VECTOR_MOST] = {NULL};
    int64_t count = 0;
    status s = NULL;
    const struct {
        const char *name;
        const float *values;
        int64_t size;
    } all[VECTOR_MOST] = {
        {"policy.m", learner->policy_optimizer->m, learner->policy_optimizer->size},
        {"policy.v", learner->policy_optimizer->v, learner->policy_optimizer->size},
        {"critic.values", learner->critic ? critic_parameters(learner->critic)->values : NULL,
         learner->critic ? learner->critic_optimizer->size : 0},
        {"critic.m", learner->critic ? learner->critic_optimizer->m : NULL,
         learner->critic ? learner->critic_optimizer->size : 0},
        {"critic.v", learner->critic ? learner->critic_optimizer->v : NULL,
         learner->critic ? learner->critic_optimizer->size : 0}};
    (void)folder;
    for (int i = 0; !s && i < VECTOR_MOST; i++) {
        if (!all[i].values) continue;
        const int64_t begin = all[i].size * rank / learners;
        const int64_t end = all[i].size * (rank + 1) / learners;
        hosts[count] = download(learner->queue, all[i].values + begin, end - begin, &s);
        vectors[count] = (struct checkpoint_vector){.name = all[i].name,
                                                    .values = hosts[count],
                                                    .count = end - begin,
                                                    .total = all[i].size,
                                                    .offset = begin};
        count++;
    }
    if (!s) s = checkpoint_write_slice(path, rank, learners, vectors, count);
    for (int64_t i = 0; i < count; i++) free(hosts[i]);
    return s;
}

static status config_text(const struct config *config, char **text, size_t *size)
{
    FILE *stream = open_memstream(text, size);
    if (!stream) FAIL(STATUS_INTERNAL, "out of memory");
    status s = config_print(config, stream);
    fclose(stream);
    return s;
}

/* Rank 0's files: model.h5, state.h5, tokenizer, idf table. */
static status state_write(struct run_folder *folder, struct learner *learner,
                          const struct language *language, const char *path, const float *lagging)
{
    status s = NULL;
    struct parameters *parameters = t5_parameters(learner->policy);
    float *values = download(learner->queue, parameters->values, parameters->size, &s);
    if (!s) s = checkpoint_write_model(path, parameters, values, t5_shape(learner->policy));
    free(values);
    char *text = NULL;
    size_t size = 0;
    if (!s) s = config_text(&folder->options->config, &text, &size);
    const int64_t counters[5] = {learner->policy_optimizer->step,
                                 learner->critic ? learner->critic_optimizer->step : 0,
                                 folder->best, folder->worse, learner->critic != NULL};
    double statistics[RUNNING_SIZE];
    running_save(&learner->statistics, statistics);
    char reference[65] = "";
    if (!s && learner->reference) s = parameters_hash(t5_parameters(learner->reference), reference);
    const struct checkpoint_entry entries[] = {
        {"kind", CHECKPOINT_TEXT, folder->kind, (int64_t)strlen(folder->kind)},
        {"config", CHECKPOINT_TEXT, text, (int64_t)size},
        {"counters", CHECKPOINT_INTEGERS, counters, 5},
        {"best_metric", CHECKPOINT_DOUBLES, &folder->best_metric, 1},
        {"running", CHECKPOINT_DOUBLES, statistics, RUNNING_SIZE},
        {"reference", CHECKPOINT_TEXT, reference, (int64_t)strlen(reference)},
        {"lagging", CHECKPOINT_FLOATS, lagging, lagging ? parameters->size : 0}};
    if (!s) s = checkpoint_write_state(path, entries, sizeof entries / sizeof *entries);
    if (!s) s = language_save(language, path);
    free(text);
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
    if (!s) s = slice_write(folder, learner, path);
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
        if (!s) s = checkpoint_publish(run, step, folder->attempt, files, count);
        free(files);
        if (!s) s = checkpoint_prune(run, folder->options->config.checkpoint.keep, folder->best);
    }
    free(all);
    return s;
}

static status vector_load(struct learner *learner, const char *folder, const char *name,
                          float *device, int64_t size)
{
    float *host;
    int64_t total;
    TRY(checkpoint_read_vector(folder, name, &host, &total));
    status s = NULL;
    if (total != size)
        s = ERROR(STATUS_INPUT, "%s: vector %s has %lld floats, the model has %lld", folder, name,
                  (long long)total, (long long)size);
    if (!s) {
        learner->queue->op->upload(learner->queue, device, host, (size_t)size * sizeof *host);
        s = learner->queue->op->synchronize(learner->queue);
    }
    free(host);
    return s;
}

status run_checkpoint_load(struct run_folder *folder, struct learner *learner, float **lagging)
{
    const char *path = folder->checkpoint;
    struct parameters *parameters = t5_parameters(learner->policy);
    float *host = memory_allocate((size_t)parameters->size * sizeof *host);
    status s = checkpoint_read_model(path, parameters, host);
    if (!s) s = parameters_upload(parameters, host);
    free(host);
    if (!s) s = t5_refresh(learner->policy);
    struct optimizer *policy = learner->policy_optimizer;
    if (!s) s = vector_load(learner, path, "policy.m", policy->m, policy->size);
    if (!s) s = vector_load(learner, path, "policy.v", policy->v, policy->size);
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
                        critic->size);
        if (!s) s = vector_load(learner, path, "critic.m", critic->m, critic->size);
        if (!s) s = vector_load(learner, path, "critic.v", critic->v, critic->size);
        if (!s) s = critic_refresh(learner->critic);
    }
    free(counters);
    double *doubles = NULL;
    if (!s)
        s = checkpoint_read_state(path, "running", CHECKPOINT_DOUBLES, (void **)&doubles, &count);
    if (!s && count != RUNNING_SIZE)
        s = ERROR(STATUS_INPUT, "%s/state.h5: bad running statistics", path);
    if (!s) s = running_load(&learner->statistics, doubles);
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
    if (!s && learner->reference) s = parameters_hash(t5_parameters(learner->reference), hex);
    if (!s && strcmp(reference, hex) != 0)
        s = ERROR(STATUS_INPUT,
                  "model.path is not the model this run began with (the reference differs)");
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
