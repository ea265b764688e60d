/* See model_paths.h. */
#include "mpi/model_paths.h"

#include "src/base/file.h"
#include "src/checkpoint/find.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

static_assert((int)CONFIG_TEXT_MAX <= (int)CHECKPOINT_PATH_MAX, "a path fits");

/* What the run itself resolved the path to when it began, from its config.yaml; empty: nothing.
 * key: the offset in struct config. */
static status path_before(const struct run_options *options, const char *given, size_t key,
                          char out[CHECKPOINT_PATH_MAX])
{
    char path[1200];
    struct config before;
    const size_t length = strlen(given);
    out[0] = 0;
    snprintf(path, sizeof path, "%s/config.yaml", options->folder);
    if (options->resume == RUN_FRESH || !file_exists(path)) return NULL;
    config_defaults(&before);
    TRY(config_read(&before, path));
    const char *was = (const char *)&before + key;
    if (!strncmp(was, given, length) && !strncmp(was + length, "/checkpoints/", 13))
        snprintf(out, CHECKPOINT_PATH_MAX, "%s", was);
    return NULL;
}

static status path_resolve(const struct run_options *options, const char *given, size_t key,
                           char out[CHECKPOINT_PATH_MAX])
{
    snprintf(out, CHECKPOINT_PATH_MAX, "%s", given);
    if (!given[0] || !checkpoint_is_run(given)) return NULL;
    TRY(path_before(options, given, key, out));
    return out[0] ? NULL : checkpoint_of_run(given, out);
}

/* One key's, at its offset in struct config. */
static status key_resolve(struct world *world, struct run_options *options, size_t key)
{
    char given[CHECKPOINT_PATH_MAX], resolved[CHECKPOINT_PATH_MAX] = "";
    char *path = (char *)&options->config + key;
    status s = NULL;
    snprintf(given, sizeof given, "%s", path);
    if (world->rank == 0) s = path_resolve(options, path, key, resolved);
    TRY(world_agree(world, s));
    TRY(world_broadcast(world, given, sizeof given, 0));
    TRY(world_broadcast(world, resolved, sizeof resolved, 0));
    if (world->rank != 0 && strcmp(given, path) != 0)
        s = path_resolve(options, path, key, resolved);
    if (!s && strlen(resolved) >= CONFIG_TEXT_MAX)
        s = ERROR(STATUS_INPUT, "%s: the path is too long", resolved);
    if (!s) memcpy(path, resolved, strlen(resolved) + 1);
    return world_agree(world, s);
}

status model_paths_resolve(struct world *world, struct run_options *options)
{
    static const size_t keys[] = {
        offsetof(struct config, model.path),           offsetof(struct config, model.user_path),
        offsetof(struct config, model.reference_path), offsetof(struct config, adapter.path),
        offsetof(struct config, eval.encoder),         offsetof(struct config, eval.on_topic),
        offsetof(struct config, reward.model),         offsetof(struct config, rm.align.teacher)};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        TRY(key_resolve(world, options, keys[i]));
    return NULL;
}
