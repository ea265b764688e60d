/* The command line's parser; see command.h. */
#include "tools/regard/command.h"

#include "mpi/transport.h"
#include "src/base/file.h"
#include "src/base/version.h"
#include "src/checkpoint/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>
#include <openssl/crypto.h>
#include <yaml.h>

static void version_print(void)
{
    char mpi[LIBRARY_VERSION_TEXT], hdf5[LIBRARY_VERSION_TEXT];
    transport_library_version(mpi);
    store_library_version(hdf5);
    printf("regard %s\n%s\n%s\nJansson %s\nlibyaml %s\n%s\n", version_text, mpi, hdf5,
           JANSSON_VERSION, yaml_get_version_string(), OpenSSL_version(OPENSSL_VERSION));
}

static void help_print(const struct verb *verb)
{
    if (!verb) {
        printf("regard: reinforcement fine-tuning with a reward read off attention\n\n"
               "usage: regard VERB [options]    (mpirun -np N regard train ...)\n\n");
        for (int i = 0; i < verb_count; i++) printf("  %-10s %s\n", verbs[i].name, verbs[i].help);
        printf("\n  regard VERB --help lists a verb's options; regard --version\n"
               "\nKeys of --config FILE and --set key=value:\n\n");
        config_help(stdout);
        return;
    }
    printf("regard %s: %s\n", verb->name, verb->help);
    if (verb->needs[0]) printf("  needs:  %s\n", verb->needs);
    if (verb->allows[0]) printf("  allows: %s\n", verb->allows);
    if (!strcmp(verb->name, "tokenizer"))
        printf("  tokenizer train --data FILE.jsonl --out DIR\n"
               "  tokenizer encode|decode --model DIR | --spm FILE.model --data FILE --out FILE\n");
    if (!strcmp(verb->name, "bench"))
        printf("  --shape: of a random model and its batches: tiny, small (T5-small's layers) or "
               "large (T5-large)\n");
    printf("  --set key=value may be repeated; regard --help lists the keys\n");
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
               {"DIR", c->what}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (listed(verb->needs, all[i].option) && !all[i].value)
            USAGE("%s needs %s; see regard %s --help", verb->name, all[i].option, verb->name);
    return NULL;
}

struct text_list {
    const char *items[256];
    int count;
};

static status option_take(struct command *c, const struct verb *verb, int argc, char **argv,
                          int *at, struct text_list *sets)
{
    char *name = argv[*at];
    char *value = NULL, *equals = strchr(name, '=');
    char bare[64];
    snprintf(bare, sizeof bare, "%.*s", (int)(equals ? equals - name : 60), name);
    if (equals) value = equals + 1;
    if (!listed(verb->needs, bare) && !listed(verb->allows, bare))
        USAGE("%s does not know %s; see regard %s --help", verb->name, bare, verb->name);
    if (!strcmp(bare, "--dry-run")) {
        if (value) USAGE("--dry-run takes no value; see regard %s --help", verb->name);
        c->dry_run = true;
        return NULL;
    }
    if (!strcmp(bare, "--resume")) {
        if (value && strcmp(value, "auto") != 0)
            USAGE("--resume=%s: it is --resume or --resume=auto; see regard %s --help", value,
                  verb->name);
        c->resume = value ? value : "";
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
               {"--shape", &c->shape}};
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

status command_parse(int argc, char **argv, struct command *c, const struct verb **out)
{
    *c = (struct command){.argc = NULL};
    *out = NULL;
    if (argc < 2) USAGE("no verb given; see regard --help");
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
        help_print(NULL);
        return NULL;
    }
    if (!strcmp(argv[1], "--version")) {
        version_print();
        return NULL;
    }
    const struct verb *verb = NULL;
    for (int i = 0; i < verb_count; i++)
        if (!strcmp(argv[1], verbs[i].name)) verb = &verbs[i];
    if (!verb) USAGE("unknown verb %s; see regard --help", argv[1]);
    c->verb = verb->name;
    *out = verb;
    struct text_list sets = {.count = 0};
    for (int at = 2; at < argc; at++) {
        if (!strcmp(argv[at], "--help") || !strcmp(argv[at], "-h")) {
            help_print(verb);
            *out = NULL;
            return NULL;
        }
        if (!strncmp(argv[at], "--", 2))
            TRY(option_take(c, verb, argc, argv, &at, &sets));
        else if (!strcmp(verb->name, "tokenizer") && !c->subverb)
            c->subverb = argv[at];
        else if ((listed(verb->needs, "DIR") || listed(verb->allows, "WHAT")) && !c->what)
            c->what = argv[at];
        else
            USAGE("%s: what is %s? See regard %s --help", verb->name, argv[at], verb->name);
    }
    TRY(option_needed(c, verb));
    config_defaults(&c->config);
    if (c->config_path) TRY(config_read(&c->config, c->config_path));
    for (int i = 0; i < sets.count; i++) TRY(config_set(&c->config, sets.items[i]));
    return NULL;
}

status output_free(const char *path)
{
    const char *const names[] = {"config.json", "model.safetensors", "manifest.json", "model.h5"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char file[1200];
        snprintf(file, sizeof file, "%s/%s", path, names[i]);
        if (file_exists(file))
            FAIL(STATUS_INPUT, "--out %s holds a model already (%s); name another folder", path,
                 names[i]);
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
    if (file_exists(path)) FAIL(STATUS_INPUT, "--out %s is a file; a folder is wanted", path);
    return folder_begin(writer, path);
}

status output_end(struct folder_writer *writer, status s)
{
    if (!s) s = folder_commit(writer);
    folder_abandon(writer);
    return s;
}
