/* --help and --version: verbs with their options, and the settings by topic. */
#include "mpi/transport.h"
#include "src/base/config_keys.h"
#include "src/base/suggest.h"
#include "src/base/version.h"
#include "src/checkpoint/store.h"
#include "tools/regard/command.h"

#include <stdio.h>
#include <string.h>

#include <jansson.h>
#include <openssl/crypto.h>
#include <yaml.h>

void version_print(void)
{
    char mpi[LIBRARY_VERSION_TEXT], hdf5[LIBRARY_VERSION_TEXT];
    transport_library_version(mpi);
    store_library_version(hdf5);
    printf("regard %s\n%s\n%s\nJansson %s\nlibyaml %s\n%s\n", version_text, mpi, hdf5,
           JANSSON_VERSION, yaml_get_version_string(), OpenSSL_version(OPENSSL_VERSION));
}

static void verbs_print(void)
{
    printf("regard: reinforcement fine-tuning with a reward read off attention\n\n"
           "usage: regard VERB [options]    (run/mpirun -np N build/regard train ...)\n\n");
    for (int i = 0; i < verb_count; i++) printf("  %-12s %s\n", verbs[i].name, verbs[i].help);
    printf("\nregard VERB --help lists a verb's options, regard --help TOPIC a topic's settings\n"
           "(--config FILE, --set key=value), regard --help keys all of them; regard --version.\n"
           "regard --help man prints the manual page, bash and zsh these shells' completion.\n"
           "Topics:\n\n");
    config_help_topics(stdout);
}

static void options_print(const struct verb *verb, const char *heading, const char *list)
{
    if (!list[0]) return;
    printf("%s\n", heading);
    for (const char *at = list; *at;) {
        const int length = (int)strcspn(at, " ");
        char name[64], left[128];
        snprintf(name, sizeof name, "%.*s", length, at);
        const struct option *option = option_find(name);
        snprintf(left, sizeof left, "%s%s%s", name, option && option->value ? " " : "",
                 option && option->value ? option->value : "");
        printf("  %-26s %s\n", left, option ? option->help : verb->what);
        at += length + strspn(at + length, " ");
    }
}

void verb_help_print(const struct verb *verb)
{
    printf("regard %s: %s\n", verb->name, verb->help);
    options_print(verb, "needs:", verb->needs);
    options_print(verb, "allows:", verb->allows);
    if (verb->more) printf("\n%s", verb->more);
    printf("\nregard --help TOPIC lists settings; topics: regard --help\n");
}

status help_print(const char *topic)
{
    if (!topic) {
        verbs_print();
        return NULL;
    }
    if (!strcmp(topic, "keys")) {
        config_help(stdout, NULL);
        return NULL;
    }
    if (manual_print(topic)) return NULL;
    const struct verb *verb = verb_find(topic);
    if (verb) verb_help_print(verb);
    if (verb && config_section_exists(topic)) printf("Settings:\n");
    if (config_help(stdout, topic) || verb) return NULL;
    struct nearest nearest = nearest_begin(topic);
    for (int i = 0; i < verb_count; i++) nearest_offer(&nearest, verbs[i].name);
    for (int i = 0; i < config_section_count; i++) nearest_offer(&nearest, config_sections[i].name);
    char key[256];
    if (nearest.best)
        FAIL(STATUS_USAGE, "no topic %s; did you mean %s? Topics: regard --help", topic,
             nearest.best);
    if (config_suggest(topic, key))
        FAIL(STATUS_USAGE, "no topic %s; did you mean %s? Topics: regard --help", topic, key);
    FAIL(STATUS_USAGE, "no topic %s; regard --help lists them", topic);
}
