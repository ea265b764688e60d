/* The manual page and the shells' completion, made from the tables of verbs, options and keys:
 * regard --help man, bash and zsh print them. */
#include "src/base/config_keys.h"
#include "src/base/memory.h"
#include "src/base/version.h"
#include "tools/regard/command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void roff_text(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        const char c = text[i];
        if ((c == '.' || c == '\'') && (i == 0 || text[i - 1] == '\n')) fputs("\\&", stdout);
        if (c == '\\')
            fputs("\\e", stdout);
        else if (c == '-')
            fputs("\\-", stdout);
        else if (c == '\'')
            fputs("\\(aq", stdout);
        else if (c == '^' || c == '~' || c == '`')
            printf("\\(%s", c == '^' ? "ha" : c == '~' ? "ti" : "ga");
        else if (c == '|')
            fputs("|\\:", stdout); /* a line may break here: lists of choices are longer than one */
        else
            putchar(c);
    }
}

static void roff(const char *text)
{
    roff_text(text, strlen(text));
}

/* Calls for each word of a list with blanks between. */
static void each_word(const char *list, void (*take)(const struct verb *verb, const char *word),
                      const struct verb *verb)
{
    for (const char *at = list; *at;) {
        char word[64];
        const size_t length = strcspn(at, " ");
        snprintf(word, sizeof word, "%.*s", (int)length, at);
        take(verb, word);
        at += length + strspn(at + length, " ");
    }
}

static void roff_option(const struct verb *verb, const char *word)
{
    const struct option *option = option_find(word);
    printf(".TP\n.B ");
    roff(word);
    if (option && option->value) {
        /* --resume[=auto] has no blank before its value. */
        printf("%s", option->value[0] == '[' ? "" : "\\ ");
        printf("\\fI");
        roff(option->value);
        printf("\\fR");
    }
    printf("\n");
    roff(option ? option->help : verb->what);
    printf("\n");
}

static void roff_verb(const struct verb *verb)
{
    printf(".SS ");
    roff(verb->name);
    printf("\n");
    roff(verb->help);
    printf("\n");
    if (verb->needs[0]) printf(".PP\nNeeds:\n");
    each_word(verb->needs, roff_option, verb);
    if (verb->allows[0]) printf(".PP\nAllows:\n");
    each_word(verb->allows, roff_option, verb);
    if (!verb->more) return;
    printf(".PP\n.EX\n");
    roff(verb->more);
    printf(".EE\n");
}

static bool key_is_of(const struct config_key *key, const char *section)
{
    const char *dot = strchr(key->name, '.');
    if (!dot) return !strcmp(section, "general");
    return strlen(section) == (size_t)(dot - key->name) &&
           !strncmp(key->name, section, (size_t)(dot - key->name));
}

static void roff_key(const struct config_key *key)
{
    char *type = NULL;
    size_t size = 0;
    FILE *out = memory_stream(&type, &size);
    config_key_type_print(key, out);
    memory_stream_close(out);
    printf(".TP\n.B ");
    roff(key->name);
    printf("\n");
    roff(type);
    printf("\n.br\n");
    roff(key->help);
    roff(config_key_resume_words(key));
    printf("\n");
    free(type);
}

static void man_print(void)
{
    printf(".TH REGARD 1 \"\" \"");
    roff(version_text);
    printf("\" \"User Commands\"\n.ds AD l\n.ad l\n.nh\n.SH NAME\nregard \\- reinforcement "
           "fine\\-tuning "
           "with a reward "
           "read off attention\n.SH SYNOPSIS\n.B regard\n.I VERB\n[options]\n.br\n"
           ".B mpirun \\-np\n.I N\n.B regard\n.I VERB\n[options]\n.SH DESCRIPTION\n");
    roff("regard fine-tunes language models by reinforcement, with a reward read off the model's "
         "own "
         "attention, and by other rewards under the same engine. train, sft and reward run on as "
         "many ranks as mpirun or srun start, doctor looks at them; all other verbs are one "
         "process. Settings are YAML "
         "(--config), and --set key=value overrides one.\n");
    printf(".SH VERBS\n");
    for (int i = 0; i < verb_count; i++) roff_verb(&verbs[i]);
    printf(".SH SETTINGS\n");
    for (int s = 0; s < config_section_count; s++) {
        printf(".SS ");
        roff(config_sections[s].name);
        printf("\n");
        roff(config_sections[s].help);
        printf("\n");
        for (int i = 0; i < config_key_count; i++)
            if (key_is_of(&config_keys[i], config_sections[s].name)) roff_key(&config_keys[i]);
    }
    printf(".SH \"EXIT STATUS\"\n"
           ".TP\n.B 0\ndone\n.TP\n.B %d\nbad input, settings or files\n"
           ".TP\n.B %d\na wrong command line\n.TP\n.B %d\nended by audit.action: stop, after a "
           "checkpoint\n.TP\n.B %d\nended by guard.max_skips, after a checkpoint\n"
           ".TP\n.B %d\ndoctor found a problem\n.TP\n.B %d\na fault of this program, or a system "
           "that failed it\n"
           ".TP\n.B %d\nstopped by a signal, after a checkpoint: start it again with "
           "\\-\\-resume\n",
           STATUS_INPUT, STATUS_USAGE, STATUS_AUDIT, STATUS_SKIPS, STATUS_DOCTOR, STATUS_INTERNAL,
           STATUS_STOPPED);
    printf(".SH ENVIRONMENT\n.TP\n.B REGARD_LOG\ndebug, info, warning or error: the least that is "
           "said\n.TP\n.B REGARD_CUDA_MODULE\nthe CUDA module to load in place of the one beside "
           "the program\n.TP\n.B HDF5_USE_FILE_LOCKING\nof checkpoints; off where it is not set\n");
}

/* A word of a completion script's list, in quotes of the shell. */
static void shell_quoted(const char *text)
{
    putchar('\'');
    for (; *text; text++)
        if (*text == '\'')
            fputs("'\\''", stdout);
        else
            putchar(*text);
    putchar('\'');
}

static void word_print(const struct verb *verb, const char *word)
{
    (void)verb;
    if (word[0] == '-') printf(" %s", word);
}

/* Cases of a shell's `case`: a verb's options. */
static void options_cases(void)
{
    for (int i = 0; i < verb_count; i++) {
        printf("    %s) echo", verbs[i].name);
        each_word(verbs[i].needs, word_print, NULL);
        each_word(verbs[i].allows, word_print, NULL);
        printf(" --help ;;\n");
    }
}

/* Cases of keys: the values of those that have a few. */
static void values_cases(void)
{
    for (int i = 0; i < config_key_count; i++) {
        const struct config_key *key = &config_keys[i];
        if (key->type == KEY_SWITCH) printf("    %s) echo true false ;;\n", key->name);
        if (key->type != KEY_CHOICE) continue;
        printf("    %s) echo ", key->name);
        for (const char *c = key->choices; *c; c++) putchar(*c == '|' ? ' ' : *c);
        printf(" ;;\n");
    }
}

static void lists_print(void)
{
    printf("_regard_verbs='");
    for (int i = 0; i < verb_count; i++) printf("%s%s", i ? " " : "", verbs[i].name);
    printf("'\n_regard_topics='keys");
    for (int i = 0; i < config_section_count; i++) printf(" %s", config_sections[i].name);
    printf("'\n_regard_keys='");
    for (int i = 0; i < config_key_count; i++) printf("%s%s", i ? " " : "", config_keys[i].name);
    printf("'\n_regard_options() {\n    case $1 in\n");
    options_cases();
    printf("    esac\n}\n_regard_values() {\n    case $1 in\n");
    values_cases();
    printf("    esac\n}\n");
}

static void bash_print(void)
{
    printf("# bash completion of regard, made by: regard --help bash\n");
    lists_print();
    fputs("_regard() {\n"
          "    local cur=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} key=''\n"
          "    COMPREPLY=()\n"
          "    # bash takes key=value for three words.\n"
          "    if [ \"$cur\" = = ]; then\n"
          "        key=$before cur=''\n"
          "    elif [ \"$before\" = = ] && [ $COMP_CWORD -gt 2 ]; then\n"
          "        key=${COMP_WORDS[COMP_CWORD - 2]}\n"
          "    fi\n"
          "    if [ \"$key\" ]; then\n"
          "        COMPREPLY=($(compgen -W \"$(_regard_values \"$key\")\" -- \"$cur\"))\n"
          "        [ ${#COMPREPLY[@]} -gt 0 ] || COMPREPLY=($(compgen -f -- \"$cur\"))\n"
          "        return\n"
          "    fi\n"
          "    if [ \"$COMP_CWORD\" = 1 ]; then\n"
          "        COMPREPLY=($(compgen -W \"$_regard_verbs --help --version\" -- \"$cur\"))\n"
          "        return\n"
          "    fi\n"
          "    case $before in\n"
          "    --set | --change)\n"
          "        COMPREPLY=($(compgen -S = -W \"$_regard_keys\" -- \"$cur\"))\n"
          "        compopt -o nospace 2>/dev/null\n"
          "        ;;\n"
          "    --run | --model) COMPREPLY=($(compgen -d -- \"$cur\")) ;;\n"
          "    --config | --data | --out | --spm | --samples | --compare)\n"
          "        COMPREPLY=($(compgen -f -- \"$cur\"))\n"
          "        ;;\n"
          "    --help)\n"
          "        COMPREPLY=($(compgen -W \"$_regard_verbs $_regard_topics $_regard_keys\" -- "
          "\"$cur\"))\n"
          "        ;;\n"
          "    *)\n"
          "        if [[ $cur == -* ]]; then\n"
          "            COMPREPLY=($(compgen -W \"$(_regard_options \"${COMP_WORDS[1]}\")\" -- "
          "\"$cur\"))\n"
          "        else\n"
          "            COMPREPLY=($(compgen -f -- \"$cur\"))\n"
          "        fi\n"
          "        ;;\n"
          "    esac\n"
          "}\n"
          "complete -o filenames -F _regard regard\n",
          stdout);
}

/* 'name:what it is' for zsh's _describe. */
static void zsh_described(const char *name, const char *help)
{
    char text[2048];
    size_t used = 0;
    for (const char *c = name; *c && used + 2 < sizeof text; c++) {
        if (*c == ':') text[used++] = '\\';
        text[used++] = *c;
    }
    snprintf(text + used, sizeof text - used, ":%s", help);
    printf("        ");
    shell_quoted(text);
    printf("\n");
}

static void zsh_option(const struct verb *verb, const char *word)
{
    const struct option *option = option_find(word);
    (void)verb;
    if (option) zsh_described(word, option->help);
}

static void zsh_print(void)
{
    printf("#compdef regard\n# zsh completion of regard, made by: regard --help zsh\n");
    printf("_regard_values() {\n    case $1 in\n");
    values_cases();
    printf("    esac\n}\n_regard() {\n    local -a verbs options keys values\n    verbs=(\n");
    for (int i = 0; i < verb_count; i++) zsh_described(verbs[i].name, verbs[i].help);
    printf("    )\n    keys=(\n");
    for (int i = 0; i < config_key_count; i++)
        zsh_described(config_keys[i].name, config_keys[i].help);
    printf("    )\n"
           "    if (( CURRENT == 2 )); then\n"
           "        _describe verb verbs\n"
           "        return\n"
           "    fi\n"
           "    case $words[CURRENT-1] in\n"
           "    --set|--change)\n"
           "        if [[ $words[CURRENT] == *=* ]]; then\n"
           "            values=(${=$(_regard_values ${words[CURRENT]%%%%=*})})\n"
           "            compset -P '*='\n"
           "            if (( $#values )); then compadd -a values; else _files; fi\n"
           "        else\n"
           "            _describe key keys -S =\n"
           "        fi\n"
           "        return\n"
           "        ;;\n"
           "    --run|--model) _files -/; return ;;\n"
           "    --config|--data|--out|--spm|--samples|--compare) _files; return ;;\n"
           "    esac\n"
           "    case $words[2] in\n");
    for (int i = 0; i < verb_count; i++) {
        printf("    %s) options=(\n", verbs[i].name);
        each_word(verbs[i].needs, zsh_option, NULL);
        each_word(verbs[i].allows, zsh_option, NULL);
        printf("        ) ;;\n");
    }
    printf("    esac\n"
           "    if [[ $words[CURRENT] == -* ]]; then _describe option options; else _files; fi\n"
           "}\n_regard \"$@\"\n");
}

bool manual_print(const char *topic)
{
    static const struct {
        const char *name;
        void (*print)(void);
    } forms[] = {{"man", man_print}, {"bash", bash_print}, {"zsh", zsh_print}};
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        if (!strcmp(topic, forms[i].name)) {
            forms[i].print();
            return true;
        }
    return false;
}
