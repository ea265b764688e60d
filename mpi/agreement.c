/* See agreement.h. */
#include "mpi/agreement.h"

#include "src/base/config_keys.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { HOST_MAX = 64 };

/* Plain bytes of one size in every build: the first thing that is compared. */
struct identity {
    char host[HOST_MAX], version[128], program[SHA256_HEX + 7]; /* of the executable file */
    char verb[16], run[1024];
    int64_t resume, dry, trace;
    struct config_changes changes;
};

static void host_name(char out[HOST_MAX])
{
    memset(out, 0, HOST_MAX);
    if (gethostname(out, HOST_MAX - 1) != 0) strcpy(out, "?");
}

static status identity_of(const struct run_options *options, const char *verb, struct identity *out)
{
    char hex[SHA256_HEX];
    memset(out, 0, sizeof *out);
    host_name(out->host);
    snprintf(out->version, sizeof out->version, "%s", options->version);
    TRY(sha256_file("/proc/self/exe", hex));
    snprintf(out->program, sizeof out->program, "%s", hex);
    snprintf(out->verb, sizeof out->verb, "%s", verb);
    snprintf(out->run, sizeof out->run, "%s", options->folder);
    out->resume = options->resume;
    out->dry = options->dry;
    out->trace = options->trace;
    out->changes = options->changes;
    return NULL;
}

/* "on node1: WHAT is A, rank 0 on node0 has B: ..." */
static status differs(const struct identity *mine, const struct identity *first, const char *what,
                      const char *is, const char *other)
{
    FAIL(STATUS_INPUT, "on %s: %s is %s, rank 0 on %s has %s: all ranks need the same", mine->host,
         what, is, first->host, other);
}

static const char *resume_name(int64_t resume)
{
    return resume == RUN_FRESH ? "not given" : resume == RUN_RESUME ? "given" : "auto";
}

static status identity_check(const struct identity *mine, const struct identity *first)
{
    if (strcmp(mine->version, first->version) != 0)
        return differs(mine, first, "the program", mine->version, first->version);
    if (strcmp(mine->program, first->program) != 0)
        return differs(mine, first, "the SHA-256 of the program's file", mine->program,
                       first->program);
    if (strcmp(mine->verb, first->verb) != 0)
        return differs(mine, first, "the verb", mine->verb, first->verb);
    if (strcmp(mine->run, first->run) != 0)
        return differs(mine, first, "--run", mine->run, first->run);
    if (mine->resume != first->resume)
        return differs(mine, first, "--resume", resume_name(mine->resume),
                       resume_name(first->resume));
    if (mine->dry != first->dry)
        return differs(mine, first, "--dry-run", mine->dry ? "given" : "not given",
                       first->dry ? "given" : "not given");
    if (mine->trace != first->trace)
        return differs(mine, first, "--trace", mine->trace ? "given" : "not given",
                       first->trace ? "given" : "not given");
    if (memcmp(&mine->changes, &first->changes, sizeof mine->changes) != 0)
        return differs(mine, first, "--change", "one list of keys", "another");
    return NULL;
}

/* Each rank's own, or a path, of which agree_on_inputs compares what it leads to. */
static bool key_is_free(const char *name)
{
    static const char *const names[] = {
        "threads",           "instructions",    "sleep.flops",   "sleep.bandwidth",
        "sleep.launch",      "data.train",      "data.valid",    "tokenizer.path",
        "salience.keywords", "model.user_path", "model.path",    "model.reference_path",
        "adapter.path",      "reward.plugin",   "reward.fit",    "reward.model",
        "rm.align.teacher",  "eval.encoder",    "eval.on_topic", "eval.on_topic_data",
        "sleep.jitter"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(names[i], name)) return true;
    return false;
}

static void value_text(const struct config *config, const struct config_key *key, char out[128])
{
    FILE *stream = fmemopen(out, 128, "w");
    out[0] = 0;
    if (!stream) return;
    config_value_print(config, key, stream);
    fclose(stream);
    out[127] = 0;
}

static status config_compare(const struct identity *mine, const struct identity *first,
                             const struct config *my_config, const struct config *first_config)
{
    for (int i = 0; i < config_key_count; i++) {
        const struct config_key *key = &config_keys[i];
        if (key_is_free(key->name) || config_value_equal(my_config, first_config, key)) continue;
        char what[80], is[128], other[128];
        snprintf(what, sizeof what, "key %s", key->name);
        value_text(my_config, key, is);
        value_text(first_config, key, other);
        return differs(mine, first, what, is, other);
    }
    return NULL;
}

status agree_on_settings(struct world *world, const struct run_options *options, const char *verb)
{
    struct identity mine, first;
    if (world->size == 1) return NULL;
    TRY(world_agree(world, identity_of(options, verb, &mine)));
    first = mine;
    TRY(world_broadcast(world, &first, sizeof first, 0));
    TRY(world_agree(world, identity_check(&mine, &first)));
    /* The same program: the same layout. */
    struct config config = options->config;
    TRY(world_broadcast(world, &config, sizeof config, 0));
    return world_agree(world, config_compare(&mine, &first, &options->config, &config));
}

static status inputs_compare(const struct run_inputs *mine, const struct run_inputs *first,
                             const char *host, const char *first_host)
{
    const char *key = run_inputs_difference(mine, first);
    if (!key) return NULL;
    const char *is = run_inputs_find(mine, key), *other = run_inputs_find(first, key);
    FAIL(STATUS_INPUT,
         "on %s: what %s names has the hash %.12s, on rank 0's %s %.12s: all ranks need the same "
         "files",
         host, key, is ? is : "of nothing", first_host, other ? other : "of nothing");
}

status agree_on_inputs(struct world *world, const struct run_options *options,
                       struct run_inputs *mine)
{
    const bool models = world->size > 1 && !options->dry;
    TRY(world_agree(world, run_inputs_of(&options->config, models, mine)));
    if (world->size == 1) return NULL;
    struct {
        char host[HOST_MAX];
        struct run_inputs inputs;
    } first;
    char host[HOST_MAX];
    host_name(host);
    memcpy(first.host, host, sizeof host);
    first.inputs = *mine;
    TRY(world_broadcast(world, &first, sizeof first, 0));
    return world_agree(world, inputs_compare(mine, &first.inputs, host, first.host));
}
