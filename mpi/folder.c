/* The run folder and what is written into it besides checkpoints; see folder.h. */
#include "mpi/folder.h"

#include "mpi/folder_trial.h"
#include "src/base/file.h"
#include "src/base/log.h"
#include "src/base/memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* What --change made otherwise: into about.txt as text, numbers into the next metrics. */
static void changes_note(struct run_folder *folder, const struct config *before)
{
    const struct run_options *options = folder->options;
    const char *name;
    char was[64], is[64];
    size_t used = 0;
    for (int i = 0; i < options->changes.count; i++) {
        if (!config_changed(before, &options->config, &options->changes, i, &name, was, is))
            continue;
        if (used < sizeof folder->changed)
            used += (size_t)snprintf(folder->changed + used, sizeof folder->changed - used,
                                     "%s%s from %s to %s", used ? ", " : "", name, was, is);
        char *end;
        const double value = strtod(is, &end);
        if (*end) continue; /* a word */
        char key[METRIC_NAME_MAX];
        snprintf(key, sizeof key, "changed_%.40s", name);
        for (char *c = key; *c; c++)
            if (*c == '.') *c = '_';
        metric_list_add(&folder->change, value, "%s", key);
    }
    if (used)
        log_line(LOG_INFO, "changed from update %lld on: %s", (long long)folder->start + 1,
                 folder->changed);
}

/* Whether the saved configuration allows to go on with the present one. */
static status resume_check(struct run_folder *folder)
{
    char *text;
    int64_t count;
    TRY(state_read(folder->checkpoint, "config", STATE_TEXT, (void **)&text, &count));
    char name[CHECKPOINT_PATH_MAX + 64];
    snprintf(name, sizeof name, "%s/state.h5, saved configuration", folder->checkpoint);
    struct config before;
    status s = config_read_saved(&before, name, text, (size_t)count);
    free(text);
    TRY(s);
    s = config_resume_check(&before, &folder->options->config, &folder->options->changes);
    if (s) return status_context(s, "%s", folder->checkpoint);
    changes_note(folder, &before);
    char *kind;
    TRY(state_read(folder->checkpoint, "kind", STATE_TEXT, (void **)&kind, &count));
    if (strcmp(kind, folder->kind) != 0)
        s = ERROR(STATUS_INPUT, "%s is a checkpoint of `%s`, not of `%s`", folder->checkpoint, kind,
                  folder->kind);
    free(kind);
    return s;
}

/* The tokenizer is one input, wherever its files lie. */
static const char *input_name(const char *key)
{
    return strcmp(key, "tokenizer.path") != 0
               ? key
               : "tokenizer and idf table (tokenizer.path, model.path)";
}

/* A metric more or less decides nothing; what the others are measured by stays. */
static bool metric_comes_or_goes(const struct run_inputs *before, const struct run_inputs *now,
                                 const char *key)
{
    const char *of = strcmp(key, "eval.on_topic_data") != 0 ? key : "eval.on_topic";
    return !strncmp(key, "eval.", 5) && (!run_inputs_find(before, of) || !run_inputs_find(now, of));
}

/* Data and tokenizer must be those that the run began with, or the run that goes on is another one
 * under its name; the model's weights have a row of their own. */
static status inputs_check(const struct run_folder *folder)
{
    enum { MAY_CHANGE = 6 }; /* the first, when they are asked for */
    static const char *const keys[] = {"data.train",     "data.valid",        "reward.plugin",
                                       "reward.fit",     "reward.model",      "eval.on_topic_data",
                                       "tokenizer.path", "salience.keywords", "rm.align.teacher",
                                       "eval.encoder",   "eval.on_topic"};
    struct run_inputs before;
    char *text;
    int64_t count;
    TRY(state_read(folder->checkpoint, "inputs", STATE_TEXT, (void **)&text, &count));
    run_inputs_parse(text, &before);
    free(text);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const char *was = run_inputs_find(&before, keys[i]);
        const char *is = run_inputs_find(&folder->inputs, keys[i]);
        if ((!was && !is) || (was && is && !strcmp(was, is))) continue;
        if (!was && !strcmp(keys[i], "reward.fit")) continue; /* older checkpoints say nothing */
        if (metric_comes_or_goes(&before, &folder->inputs, keys[i])) continue;
        if (config_change_asked(&folder->options->changes, keys[i])) {
            log_line(LOG_WARNING, "%s: %s has other contents from update %lld on, as asked",
                     folder->checkpoint, keys[i], (long long)folder->start + 1);
            continue;
        }
        FAIL(STATUS_INPUT,
             "%s: the contents of %s are not what this run began with; set them back, start a new "
             "--run%s%s%s",
             folder->checkpoint, input_name(keys[i]),
             i < MAY_CHANGE ? ", or ask for it: --change " : "", i < MAY_CHANGE ? keys[i] : "",
             i < MAY_CHANGE ? "=FILE" : "");
    }
    return NULL;
}

static status folder_find(struct run_folder *folder)
{
    const struct run_options *options = folder->options;
    char config_path[1200];
    snprintf(config_path, sizeof config_path, "%s/config.yaml", options->folder);
    if (options->resume == RUN_FRESH) {
        int64_t *steps, count;
        if (!file_exists(config_path)) return NULL;
        TRY(checkpoint_steps(options->folder, &steps, &count));
        free(steps);
        FAIL(STATUS_INPUT, "--run %s holds a run already%s or name another folder", options->folder,
             count ? "; add --resume"
                   : ", one without a checkpoint; add --resume=auto, which starts it over,");
    }
    folder->start = -1;
    TRY(checkpoint_newest(options->folder, options->dry, folder->checkpoint, &folder->start));
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
    TRY(resume_check(folder));
    return inputs_check(folder);
}

status run_folder_open(struct world *world, const struct run_options *options, const char *kind,
                       const struct run_inputs *inputs, struct run_folder *folder)
{
    *folder = (struct run_folder){.options = options,
                                  .world = world,
                                  .kind = kind,
                                  .inputs = *inputs,
                                  .evaluations = {.evaluated = -1, .best = -1, .best_saved = -1}};
    status s = NULL;
    if (world->rank == 0) s = folder_find(folder);
    TRY(world_agree(world, s));
    TRY(folder_trial(world, options->folder));
    TRY(world_broadcast(world, folder->checkpoint, sizeof folder->checkpoint, 0));
    return world_broadcast(world, &folder->start, sizeof folder->start, 0);
}

#define STARTS "\nStarts, the newest last:\n"

/* The starts that an older about.txt tells of; the caller frees it. */
static char *older_starts(const char *path)
{
    char *text, *starts = NULL;
    size_t size;
    status s = file_exists(path) ? file_read(path, &text, &size) : ERROR(STATUS_INPUT, "none");
    if (!s) {
        const char *at = strstr(text, STARTS);
        if (at) starts = memory_text(at + strlen(STARTS));
        free(text);
    }
    status_free(s); /* a folder without them says less */
    return starts ? starts : memory_text("");
}

/* RUN/about.txt: what this folder is, for whoever finds it, and every start of the run. */
static status about_write(const struct run_folder *folder)
{
    const struct run_options *options = folder->options;
    const struct world *world = folder->world;
    char path[1200], host[256] = "?", when[64] = "?";
    const time_t now = time(NULL);
    struct tm broken;
    gethostname(host, sizeof host - 1);
    if (localtime_r(&now, &broken)) strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%S%z", &broken);
    snprintf(path, sizeof path, "%s/about.txt", options->folder);
    char *older = older_starts(path);
    struct file_writer writer;
    status s = file_begin(&writer, path);
    if (!s) {
        fprintf(writer.stream,
                "A run of `regard %s`.\n\n"
                "config.yaml         the resolved configuration\n"
                "metrics.jsonl       a JSON object an update; eval_* and valid_* are held out\n"
                "evaluation-first.json  the first evaluation, dialogue by dialogue (train)\n"
                "events.out.*        the same for TensorBoard: tensorboard --logdir %s\n"
                "checkpoints/        step-NNNNNN after so many updates; each serves as --model.\n"
                "                    best has the best held-out metric, newest is the last\n"
                "samples/            replies at the evaluations (train)\n"
                "base/               the new model under adapters (adapter.rank), which "
                "checkpoints name\n\n"
                "Go on:    regard %s --config %s/config.yaml --run %s --resume\n"
                "Look in:  regard inspect %s/checkpoints/step-NNNNNN\n" STARTS "%s",
                folder->kind, options->folder, folder->kind, options->folder, options->folder,
                options->folder, older);
        fprintf(writer.stream, "%s %s, %s, %d ranks, %d of them learners, %s%s\n    %s\n", when,
                host, options->version, world->size, world->roles.learners,
                folder->checkpoint[0] ? "from " : "from the beginning", folder->checkpoint,
                options->line);
        if (folder->changed[0])
            fprintf(writer.stream, "    changed from update %lld on: %s\n",
                    (long long)folder->start + 1, folder->changed);
        s = file_commit(&writer);
        file_abandon(&writer);
    }
    free(older);
    return s;
}

status run_folder_start(struct run_folder *folder, int64_t total)
{
    if (folder->world->rank != 0) return NULL;
    const struct run_options *options = folder->options;
    TRY(directory_create_all(options->folder));
    /* First what may refuse the folder as it is. */
    TRY(metrics_open(&folder->metrics, options->folder,
                     folder->checkpoint[0] ? folder->start : -1));
    /* From here on an older job in this folder may not save: two never take turns. */
    TRY(checkpoint_claim(options->folder, &folder->attempt));
    char path[1200];
    snprintf(path, sizeof path, "%s/config.yaml", options->folder);
    struct file_writer writer;
    TRY(file_begin(&writer, path));
    status s = config_print(&options->config, writer.stream);
    if (!s) s = file_commit(&writer);
    file_abandon(&writer);
    if (s) return s;
    TRY(about_write(folder));
    if (folder->checkpoint[0]) run_folder_link(folder, folder->start);
    /* A finished run that is resumed has no events to write. */
    if (folder->start < total) TRY(tensorboard_open(&folder->board, options->folder));
    progress_begin(&folder->progress, folder->kind, folder->start, total,
                   options->config.log.every);
    return NULL;
}

status run_folder_close(struct run_folder *folder)
{
    if (!folder->metrics) return NULL; /* rank 0 alone has any */
    progress_end();
    status s = metrics_close(folder->metrics);
    folder->metrics = NULL;
    return status_first(s, tensorboard_close(folder->board));
}

status run_folder_record(struct run_folder *folder, int64_t step, const struct metric *list,
                         int64_t count)
{
    TRY(metrics_write(folder->metrics, step, list, count));
    return folder->board ? tensorboard_write(folder->board, step, list, count) : NULL;
}

bool run_folder_due(const struct run_folder *folder, int64_t step)
{
    return step % folder->options->config.log.metrics_every == 0 || step == folder->progress.total;
}

status run_folder_report(struct run_folder *folder, int64_t step, double seconds, double tokens,
                         const char *times, const struct metric *list, int64_t count)
{
    if (run_folder_due(folder, step)) TRY(run_folder_record(folder, step, list, count));
    progress_step(&folder->progress, step, seconds, tokens, times, list, count < 4 ? count : 4);
    return NULL;
}

void run_folder_link(struct run_folder *folder, int64_t newest)
{
    const char *run = folder->options->folder;
    if (folder->save) return;
    status s = checkpoint_link(run, CHECKPOINT_NEWEST, newest);
    if (!s) s = checkpoint_link(run, CHECKPOINT_BEST, folder->evaluations.best_saved);
    if (s && !folder->unlinked) log_line(LOG_WARNING, "%s", status_message(s));
    folder->unlinked = folder->unlinked || s;
    status_free(s);
}

void evaluations_add(struct run_evaluations *e, int64_t step, double metric)
{
    e->evaluated = step;
    e->metric = metric;
    if (!isnan(metric) && (e->best < 0 || metric > e->best_metric)) {
        e->best = step;
        e->best_metric = metric;
        e->worse = 0;
    } else
        e->worse++;
}

void evaluations_saved(struct run_evaluations *e, int64_t step)
{
    if (e->evaluated != step || isnan(e->metric)) return;
    if (e->best_saved >= 0 && e->metric <= e->best_saved_metric) return;
    e->best_saved = step;
    e->best_saved_metric = e->metric;
}
