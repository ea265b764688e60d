/* A key whose value is a list of names with weights; see config_keys.h. */
#include "src/base/config_keys.h"
#include "src/base/json.h"
#include "src/base/suggest.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_MAX_BYTES = 64 };

/* The choice number `index` of "one|two|three"; false: there are fewer. */
static bool choice_at(const char *choices, int index, char out[NAME_MAX_BYTES])
{
    for (; index > 0 && choices; index--) {
        choices = strchr(choices, '|');
        if (choices) choices++;
    }
    if (choices) snprintf(out, NAME_MAX_BYTES, "%.*s", (int)strcspn(choices, "|"), choices);
    return choices != NULL;
}

static status name_find(const struct config_key *key, const char *where, const char *name,
                        int *index)
{
    char choice[CONFIG_WEIGHTS_MAX + 1][NAME_MAX_BYTES];
    struct nearest nearest = nearest_begin(name);
    for (*index = 0; choice_at(key->choices, *index, choice[*index]); ++*index) {
        if (!strcmp(choice[*index], name)) return NULL;
        nearest_offer(&nearest, choice[*index]);
    }
    if (nearest.best)
        FAIL(STATUS_INPUT, "%s: %s has no \"%s\"; did you mean %s?", where, key->name, name,
             nearest.best);
    FAIL(STATUS_INPUT, "%s: %s has no \"%s\"; it is a list of %s", where, key->name, name,
         key->choices);
}

static status weight_parse(const struct config_key *key, const char *where, const char *name,
                           const char *text, double *out)
{
    char *end;
    const bool decimal = *text && strspn(text, "+-.0123456789eE") == strlen(text);
    errno = 0;
    *out = decimal ? strtod(text, &end) : 0;
    if (!decimal || *end || !isfinite(*out) || *out < key->least || *out > key->most)
        FAIL(STATUS_INPUT,
             "%s: %s: the weight of %s must be a number between %.10g and %.10g, not \"%s\"", where,
             key->name, name, key->least, key->most, text);
    return NULL;
}

/* Leaves out white space at both ends of a text that may be written to. */
static char *trimmed(char *text)
{
    text += strspn(text, " \t");
    size_t length = strlen(text);
    while (length && strchr(" \t", text[length - 1])) text[--length] = 0;
    return text;
}

static status item_parse(const struct config_key *key, const char *where, char *item,
                         struct config_weights *out)
{
    char *colon = strchr(item, ':');
    double weight = 1;
    int index;
    if (colon) *colon = 0;
    const char *name = trimmed(item);
    TRY(name_find(key, where, name, &index));
    if (colon) TRY(weight_parse(key, where, name, trimmed(colon + 1), &weight));
    if (out->listed[index]) FAIL(STATUS_INPUT, "%s: %s names %s twice", where, key->name, name);
    out->listed[index] = true;
    out->weight[index] = weight;
    return NULL;
}

status config_weights_parse(const struct config_key *key, const char *where, const char *text,
                            struct config_weights *out)
{
    struct config_weights weights;
    char copy[CONFIG_TEXT_MAX];
    memset(&weights, 0, sizeof weights); /* padding too: values are compared as bytes */
    if (!text[strspn(text, " \t")]) text = key->default_text;
    if (strlen(text) >= sizeof copy)
        FAIL(STATUS_INPUT, "%s: %s is longer than %d bytes", where, key->name, CONFIG_TEXT_MAX - 1);
    strcpy(copy, text);
    for (char *item = copy, *next; item; item = next) {
        next = strchr(item, ',');
        if (next) *next++ = 0;
        TRY(item_parse(key, where, item, &weights));
    }
    memcpy(out, &weights, sizeof weights);
    return NULL;
}

void config_weights_print(const struct config_key *key, const struct config_weights *weights,
                          FILE *out)
{
    char name[NAME_MAX_BYTES], number[40];
    const char *separator = "";
    for (int i = 0; choice_at(key->choices, i, name); i++) {
        if (!weights->listed[i]) continue;
        json_double_text(number, weights->weight[i]);
        fprintf(out, "%s%s:%s", separator, name, number);
        separator = ",";
    }
}
