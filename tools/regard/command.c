/* The command line's parser; see command.h. */
#include "tools/regard/command.h"

#include "src/base/file.h"
#include "src/base/suggest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct option options[] = {
    {"--config", "FILE", "settings as YAML"},
    {"--set", "KEY=VALUE", "one setting, after those of --config; may be repeated"},
    {"--model", "DIR", "a model folder, a checkpoint or a run"},
    {"--data", "FILE",
     "JSON Lines, - (standard input), or a set that is made: synthetic, reverse, story, slot or "
     "speakers:SEED:COUNT[:FIRST], reasoning or nested:SEED:COUNT:LEVEL[:FIRST], "
     "preferences:SEED:COUNT[:FIRST], "
     "evidence:SEED:COUNT:CUE[:FIRST]"},
    {"--out", "PATH", "what is written; -: a file goes to standard output"},
    {"--run", "DIR", "the run's folder: settings, metrics, checkpoints"},
    {"--resume", "[=auto]",
     "go on from the newest checkpoint; =auto: or start where there is none.  Without --config the "
     "run's own settings are taken"},
    {"--dry-run", NULL, "check everything, print settings, roles and memory, write nothing"},
    {"--merge", NULL, "export: the whole model with its adapters added to its weights"},
    {"--keep-system", NULL, "a system message stays one, for models with a chat format"},
    {"--change", "KEY=VALUE",
     "with --resume: a learning rate and the like otherwise than before (regard --help policy)"},
    {"--role", "ROLE", "whose turns are learned: assistant or user; short for --set sft.role=ROLE"},
    {"--spm", "FILE", "a SentencePiece model"},
    {"--samples", "FILE", "write every reply beside the gold one, as JSON Lines"},
    {"--maps", "FILE", "write every head's whole attention as HDF5"},
    {"--fit", "TARGET",
     "learn a checker of it: rouge_l, chrf, slots, verifier, or a field of labelled replies"},
    {"--compare", "BEFORE AFTER",
     "two files that eval wrote, side by side, with the changes and their standard errors"},
    {"--shape", "SHAPE",
     "of a random model and its batches: tiny, small (6 + 6 layers of 512), large (24 + 24 of "
     "1024); decoder-only: causal (30 layers of 576), tiny-causal"},
    {"--profile", NULL, "say at the end where the time went, operation by operation (CPU)"},
    {"--trace", NULL, "write every rank's spans of time, RUN/trace.json, for ui.perfetto.dev"},
    {"--cluster", "FILE", "a cluster: hosts, devices, links (configs/cluster-example.yaml)"},
    {"--bench", "FILE", "what `regard bench` printed, for the device's rates"},
    {"--json", NULL, "as JSON"},
    {"--text", NULL, "what was said, as plain text in place of JSON Lines"},
    {"--rounds", "N", "how often what takes long is measured; the median is printed"},
    {"--watch", "[=SECONDS]",
     "write the page again when the runs wrote something, looking every 5 seconds"},
    {"--best", "N", "of N replies to a history write the one with the highest reward"},
};
enum { OPTION_COUNT = sizeof options / sizeof *options };

const struct option *option_find(const char *name)
{
    for (int i = 0; i < OPTION_COUNT; i++)
        if (!strcmp(options[i].name, name)) return &options[i];
    return NULL;
}

const struct verb *verb_find(const char *name)
{
    for (int i = 0; i < verb_count; i++)
        if (!strcmp(verbs[i].name, name)) return &verbs[i];
    return NULL;
}

enum { VALUE_MAX_BYTES = 700 };

static bool listed(const char *list, const char *option)
{
    const size_t n = strlen(option);
    for (const char *at = list; (at = strstr(at, option)); at += n)
        if ((at == list || at[-1] == ' ') && (at[n] == ' ' || !at[n])) return true;
    return false;
}

#define USAGE(...) FAIL(STATUS_USAGE, __VA_ARGS__)

static status option_needed(const struct command *c, const struct verb *verb)
{
    const struct {
        const char *option, *value;
    } all[] = {{"--model", c->model},
               {"--data", c->data},
               {"--out", c->out},
               {"--run", c->run},
               {"--cluster", c->cluster},
               {"DIR", c->what},
               {"RUN", c->run_count ? c->runs[0] : NULL}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (listed(verb->needs, all[i].option) && !all[i].value)
            USAGE("%s needs %s; see regard %s --help", verb->name, all[i].option, verb->name);
    return NULL;
}

struct text_list {
    const char *items[256];
    int count;
};

/* Names that other programs use. */
static const struct {
    const char *name, *ours;
} option_alias[] = {
    {"output-dir", "--out"},
    {"output", "--out"},
    {"o", "--out"},
    {"output-dir", "--run"},
    {"dataset", "--data"},
    {"input", "--data"},
    {"train-file", "--set"},
    {"model-path", "--model"},
    {"model-name-or-path", "--model"},
    {"checkpoint", "--model"},
    {"conf", "--config"},
    {"c", "--config"},
    {"resume-from-checkpoint", "--resume"},
};

static status option_unknown(const struct verb *verb, const char *bare)
{
    char plain[64];
    snprintf(plain, sizeof plain, "%s", bare + strspn(bare, "-"));
    for (char *at = plain; *at; at++)
        if (*at == '_') *at = '-';
    const char *meant = NULL;
    struct nearest nearest = nearest_begin(bare);
    for (int i = 0; i < OPTION_COUNT; i++)
        if (listed(verb->needs, options[i].name) || listed(verb->allows, options[i].name))
            nearest_offer(&nearest, options[i].name);
    meant = nearest.best;
    for (size_t i = 0; i < sizeof option_alias / sizeof *option_alias; i++)
        if (!strcmp(plain, option_alias[i].name) && (listed(verb->needs, option_alias[i].ours) ||
                                                     listed(verb->allows, option_alias[i].ours)))
            meant = option_alias[i].ours;
    char key[256];
    if (meant)
        USAGE("%s does not know %s; did you mean %s? See regard %s --help", verb->name, bare, meant,
              verb->name);
    if (listed(verb->allows, "--set") && config_suggest(plain, key))
        USAGE("%s does not know %s; did you mean --set with %s? See regard %s --help", verb->name,
              bare, key, verb->name);
    USAGE("%s does not know %s; see regard %s --help", verb->name, bare, verb->name);
}

static status option_take(struct command *c, const struct verb *verb, int argc, char **argv,
                          int *at, struct text_list *sets, struct text_list *changes)
{
    char *name = argv[*at];
    char *value = NULL, *equals = strchr(name, '=');
    char bare[64];
    snprintf(bare, sizeof bare, "%.*s", (int)(equals ? equals - name : 60), name);
    if (equals) value = equals + 1;
    if (!listed(verb->needs, bare) && !listed(verb->allows, bare))
        return option_unknown(verb, bare);
    const struct {
        const char *option;
        bool *to;
    } flags[] = {
        {"--dry-run", &c->dry_run}, {"--merge", &c->merge},     {"--keep-system", &c->keep_system},
        {"--trace", &c->trace},     {"--profile", &c->profile}, {"--json", &c->json},
        {"--text", &c->text}};
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        if (strcmp(bare, flags[i].option) != 0) continue;
        if (value) USAGE("%s takes no value; see regard %s --help", bare, verb->name);
        *flags[i].to = true;
        return NULL;
    }
    if (!strcmp(bare, "--resume")) {
        if (value && strcmp(value, "auto") != 0)
            USAGE("--resume=%s: it is --resume or --resume=auto; see regard %s --help", value,
                  verb->name);
        c->resume = value ? value : "";
        return NULL;
    }
    if (!strcmp(bare, "--watch")) {
        c->watch = value ? value : "";
        return NULL;
    }
    if (!value) {
        if (*at + 1 >= argc) USAGE("%s wants a value; see regard %s --help", bare, verb->name);
        value = argv[++*at];
    }
    if (!*value) USAGE("%s wants a value; see regard %s --help", bare, verb->name);
    if (!strcmp(bare, "--compare")) {
        if (*at + 1 >= argc) USAGE("--compare wants two files; see regard %s --help", verb->name);
        c->before = value;
        c->after = argv[++*at];
        return NULL;
    }
    const struct {
        const char *option;
        int64_t *to;
        int least, most;
    } numbers[] = {{"--rounds", &c->rounds, 1, 64}, {"--best", &c->best, 2, 4096}};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        char *end;
        if (strcmp(bare, numbers[i].option) != 0) continue;
        const long long number = strtoll(value, &end, 10);
        if (*end || number < numbers[i].least || number > numbers[i].most)
            USAGE("%s is a number from %d to %d, not %s; see regard %s --help", bare,
                  numbers[i].least, numbers[i].most, value, verb->name);
        *numbers[i].to = number;
        return NULL;
    }
    if (!strcmp(bare, "--change")) {
        if (changes->count == CONFIG_CHANGES_MAX)
            USAGE("more than %d --change; see regard %s --help", CONFIG_CHANGES_MAX, verb->name);
        changes->items[changes->count++] = value;
        return NULL;
    }
    if (!strcmp(bare, "--set") || !strcmp(bare, "--role")) {
        if (sets->count == 256) USAGE("more than 256 --set; put them in a file, see --help");
        if (!strcmp(bare, "--role")) {
            snprintf(c->role, sizeof c->role, "sft.role=%s", value);
            value = c->role;
        }
        sets->items[sets->count++] = value;
        return NULL;
    }
    const struct {
        const char *option;
        const char **to;
    } all[] = {{"--config", &c->config_path},
               {"--model", &c->model},
               {"--data", &c->data},
               {"--out", &c->out},
               {"--run", &c->run},
               {"--spm", &c->spm},
               {"--samples", &c->samples},
               {"--maps", &c->maps},
               {"--fit", &c->fit},
               {"--shape", &c->shape},
               {"--cluster", &c->cluster},
               {"--bench", &c->bench}};
    /* With it every path made of a folder and a name fits where paths are kept. */
    if (strlen(value) > VALUE_MAX_BYTES)
        FAIL(STATUS_INPUT, "%s %.60s...: %zu bytes are too long for a name, %d are allowed", bare,
             value, strlen(value), VALUE_MAX_BYTES);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (!strcmp(bare, all[i].option)) {
            if (*all[i].to) USAGE("%s is given twice; see regard %s --help", bare, verb->name);
            *all[i].to = value;
        }
    return NULL;
}

/* "regard train --set 'policy.lr=1e-3'": what a shell would not take as it is, in quotes. */
static void line_write(int argc, char **argv, char line[2048])
{
    size_t used = (size_t)snprintf(line, 2048, "regard");
    for (int i = 1; i < argc && used < 2048; i++) {
        const bool plain = argv[i][0] && !argv[i][strcspn(argv[i], " \t\n'\"\\$`*?[](){}<>|&;#!~")];
        used += (size_t)snprintf(line + used, 2048 - used, plain ? " %s" : " '%s'", argv[i]);
    }
}

/* A run's folder, of several. */
static status run_take(struct command *c, const char *run)
{
    if (strlen(run) > VALUE_MAX_BYTES)
        FAIL(STATUS_INPUT, "%.60s...: %zu bytes are too long for a name, %d are allowed", run,
             strlen(run), VALUE_MAX_BYTES);
    if (c->run_count == REPORT_RUNS_MAX)
        FAIL(STATUS_INPUT, "more than %d runs; name fewer", REPORT_RUNS_MAX);
    c->runs[c->run_count++] = run;
    return NULL;
}

static status verb_missing(void)
{
    char list[256];
    size_t used = 0;
    for (int i = 0; i < verb_count; i++)
        used +=
            (size_t)snprintf(list + used, sizeof list - used, "%s%s", i ? ", " : "", verbs[i].name);
    USAGE("no verb given; there are %s; see regard --help", list);
}

static status verb_unknown(const char *name)
{
    struct nearest nearest = nearest_begin(name);
    for (int i = 0; i < verb_count; i++) nearest_offer(&nearest, verbs[i].name);
    if (*name && nearest.best)
        USAGE("unknown verb %s; did you mean %s? See regard --help", name, nearest.best);
    USAGE("unknown verb %s; see regard --help", name);
}

/* --resume without --config: the settings that the run has had. */
static status resumed_settings(struct command *c)
{
    char path[1200], *text;
    size_t size;
    snprintf(path, sizeof path, "%s/config.yaml", c->run);
    if (!file_exists(path)) return NULL;
    TRY(file_read(path, &text, &size));
    status s = config_read_saved(&c->config, path, text, size);
    free(text);
    return s;
}

/* By its name, where the verb takes one. */
static bool is_settings(const struct verb *verb, const char *path)
{
    const char *end = strrchr(path, '.');
    return end && (!strcmp(end, ".yaml") || !strcmp(end, ".yml")) &&
           (listed(verb->needs, "--config") || listed(verb->allows, "--config"));
}

status command_parse(int argc, char **argv, struct command *c, const struct verb **out)
{
    *c = (struct command){.verb = NULL};
    *out = NULL;
    line_write(argc, argv, c->line);
    if (argc < 2) return verb_missing();
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help"))
        return help_print(argc > 2 ? argv[2] : NULL);
    if (!strcmp(argv[1], "--version")) {
        version_print();
        return NULL;
    }
    const struct verb *verb = verb_find(argv[1]);
    if (!verb) return verb_unknown(argv[1]);
    c->verb = verb->name;
    *out = verb;
    struct text_list sets = {.count = 0}, changes = {.count = 0};
    for (int at = 2; at < argc; at++) {
        if (!strcmp(argv[at], "--help") || !strcmp(argv[at], "-h")) {
            verb_help_print(verb);
            *out = NULL;
            return NULL;
        }
        if (argv[at][0] == '-' && argv[at][1])
            TRY(option_take(c, verb, argc, argv, &at, &sets, &changes));
        else if (!strcmp(verb->name, "tokenizer") && !c->subverb)
            c->subverb = argv[at];
        else if ((listed(verb->needs, "DIR") || listed(verb->allows, "WHAT")) && !c->what)
            c->what = argv[at];
        else if (listed(verb->needs, "RUN"))
            TRY(run_take(c, argv[at]));
        else
            USAGE("%s: what is %s?%s See regard %s --help", verb->name, argv[at],
                  is_settings(verb, argv[at]) ? " A file of settings stands behind --config." : "",
                  verb->name);
    }
    TRY(option_needed(c, verb));
    config_defaults(&c->config);
    if (c->config_path)
        TRY(config_read(&c->config, c->config_path));
    else if (c->resume)
        TRY(resumed_settings(c));
    for (int i = 0; i < sets.count; i++) TRY(config_set(&c->config, sets.items[i]));
    for (int i = 0; i < changes.count; i++)
        TRY(config_change(&c->config, &c->changes, changes.items[i]));
    return NULL;
}

status output_free(const char *path)
{
    const char *const names[] = {
        "config.json",         "model.safetensors",         "manifest.json",  "model.h5",
        "adapter_config.json", "adapter_model.safetensors", "tokenizer.json", "checkpoints"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char there[1200];
        snprintf(there, sizeof there, "%s/%s", path, names[i]);
        if (access(there, F_OK) == 0)
            FAIL(STATUS_INPUT, "--out %s holds %s already (%s); name another folder", path,
                 strcmp(names[i], "checkpoints") != 0 ? "a model" : "a run", names[i]);
    }
    return NULL;
}

status output_begin(const char *path, struct folder_writer *writer)
{
    char parent[1024];
    snprintf(parent, sizeof parent, "%s", path);
    size_t n = strlen(parent);
    while (n > 1 && parent[n - 1] == '/') parent[--n] = 0;
    char *slash = strrchr(parent, '/');
    writer->temporary[0] = 0;
    if (slash && slash != parent && !directory_exists(path)) {
        *slash = 0;
        if (!directory_exists(parent))
            FAIL(STATUS_INPUT, "--out %s: the folder %s does not exist; make it first", path,
                 parent);
    }
    if (!strcmp(path, "-")) FAIL(STATUS_INPUT, "--out -: a folder is wanted, not a file");
    if (file_exists(path)) FAIL(STATUS_INPUT, "--out %s is a file; a folder is wanted", path);
    return folder_begin(writer, path);
}

status output_end(struct folder_writer *writer, status s)
{
    if (!s) s = folder_commit(writer);
    folder_abandon(writer);
    return s;
}
