/* The resolved settings as YAML. */
#include "src/base/config_keys.h"
#include "src/base/json.h"

#include <string.h>

/* Shortest that reads back, with a point so that every YAML reader takes it as a number. */
static void number_text(char out[48], double value)
{
    json_double_text(out, value);
    char *exponent = strchr(out, 'e');
    if (!exponent || strchr(out, '.')) return;
    memmove(exponent + 2, exponent, strlen(exponent) + 1);
    memcpy(exponent, ".0", 2);
}

void config_value_print(const struct config *config, const struct config_key *key, FILE *out)
{
    const char *member = (const char *)config + key->offset;
    char text[48];
    switch (key->type) {
    case KEY_INTEGER:
        fprintf(out, "%lld", (long long)*(const int64_t *)(const void *)member);
        break;
    case KEY_NUMBER:
        number_text(text, *(const double *)(const void *)member);
        fputs(text, out);
        break;
    case KEY_SWITCH:
        fputs(*(const bool *)member ? "true" : "false", out);
        break;
    case KEY_TEXT:
        json_write_text(out, member); /* JSON's quoted text is YAML's */
        break;
    case KEY_CHOICE: {
        const char *choice = key->choices;
        for (int i = *(const int *)(const void *)member; i > 0; i--)
            choice = strchr(choice, '|') + 1;
        fprintf(out, "%.*s", (int)strcspn(choice, "|"), choice);
        break;
    }
    case KEY_LIST:
        fputc('[', out);
        for (int64_t i = 0;
             i < *(const int64_t *)(const void *)((const char *)config + key->count_offset); i++) {
            number_text(text, ((const double *)(const void *)member)[i]);
            fprintf(out, "%s%s", i ? ", " : "", text);
        }
        fputc(']', out);
        break;
    case KEY_WEIGHTS:
        config_weights_print(key, (const struct config_weights *)(const void *)member, out);
        break;
    }
}

status config_print(const struct config *config, FILE *out)
{
    char section[128] = "";
    for (int i = 0; i < config_key_count; i++) {
        const struct config_key *key = &config_keys[i];
        const char *dot = strchr(key->name, '.');
        const char *name = dot ? dot + 1 : key->name;
        if (dot) {
            size_t length = (size_t)(dot - key->name);
            if (strlen(section) != length || strncmp(section, key->name, length)) {
                memcpy(section, key->name, length);
                section[length] = 0;
                fprintf(out, "%s:\n", section);
            }
        }
        const bool follows = config_follows_task(config, key);
        fprintf(out, "%s%s%s: ", dot ? "  " : "", follows ? "# " : "", name);
        config_value_print(config, key, out);
        fputs(follows ? " (as task has it)\n" : "\n", out);
    }
    if (ferror(out)) FAIL(STATUS_INPUT, "cannot write the configuration");
    return NULL;
}
