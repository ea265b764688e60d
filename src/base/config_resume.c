/* What a resumed run may have otherwise than the run before it: the table's column `resume`. */
#include "src/base/config_keys.h"
#include "src/base/data_name.h"
#include "src/base/memory.h"

#include <stdlib.h>
#include <string.h>

bool config_value_equal(const struct config *a, const struct config *b,
                        const struct config_key *key)
{
    const char *left = (const char *)a + key->offset, *right = (const char *)b + key->offset;
    switch (key->type) {
    case KEY_TEXT:
        return !strcmp(left, right);
    case KEY_NUMBER:
        return *(const double *)(const void *)left == *(const double *)(const void *)right;
    case KEY_LIST: /* values behind the count are 0 */
        return !memcmp((const char *)a + key->count_offset, (const char *)b + key->count_offset,
                       sizeof(int64_t)) &&
               !memcmp(left, right, key->size);
    default:
        return !memcmp(left, right, key->size);
    }
}

status config_read_saved(struct config *config, const char *name, const char *text, size_t size)
{
    config_defaults(config);
    config->single_turn.context = SINGLE_TURN_PROMPT;
    config->kl.clamp = 0;
    TRY(config_read_text(config, name, text, size));
    if (config->task != TASK_SINGLE_TURN) config->single_turn.context = SINGLE_TURN_FULL;
    return NULL;
}

static bool may_be_changed(const struct config_key *key)
{
    return key->resume == RESUME_CHANGE || key->resume == RESUME_UNLESS_SCHEDULE ||
           key->resume == RESUME_FREE_BUT_SYNTHETIC;
}

status config_change(struct config *config, struct config_changes *changes, const char *assignment)
{
    char name[64];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(assignment, "="), assignment);
    TRY(config_set(config, assignment));
    const struct config_key *key = config_key_find(name);
    if (!may_be_changed(key)) {
        char list[512];
        size_t used = 0;
        for (int i = 0; i < config_key_count; i++)
            if (may_be_changed(&config_keys[i]) && used < sizeof list)
                used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", used ? ", " : "",
                                         config_keys[i].name);
        FAIL(STATUS_INPUT,
             "--change %s: %s stays as the run began (--set sets it then); these may "
             "change: %s",
             assignment, name, list);
    }
    if (changes->count == CONFIG_CHANGES_MAX)
        FAIL(STATUS_USAGE, "more than %d --change; see --help", CONFIG_CHANGES_MAX);
    changes->key[changes->count++] = (int)(key - config_keys);
    return NULL;
}

static bool asked_for(const struct config_changes *changes, const struct config_key *key)
{
    for (int i = 0; i < changes->count; i++)
        if (changes->key[i] == key - config_keys) return true;
    return false;
}

bool config_change_asked(const struct config_changes *changes, const char *name)
{
    const struct config_key *key = config_key_find(name);
    return key && asked_for(changes, key);
}

/* Whether the key's row lets it differ, though nobody asked. */
static bool may_differ(const struct config *before, const struct config *now,
                       const struct config_key *key)
{
    const char *was = (const char *)before + key->offset, *is = (const char *)now + key->offset;
    switch (key->resume) {
    case RESUME_FREE:
        return true;
    case RESUME_FREE_BUT_SYNTHETIC:
        return !data_is_generated(was) && !data_is_generated(is);
    case RESUME_UNLESS_SCHEDULE:
        return before->policy.schedule == SCHEDULE_CONSTANT;
    case RESUME_UNLESS_PATIENCE:
        return !before->guard.patience && !before->sft.patience && !before->rm.patience;
    default:
        return false;
    }
}

/* As YAML; what is longer than there is room for ends in "...". */
static void value_text(const struct config *config, const struct config_key *key, char out[64])
{
    char *text;
    size_t size, end = 60;
    FILE *stream = memory_stream(&text, &size);
    config_value_print(config, key, stream);
    memory_stream_close(stream);
    if (size > 63)
        while (end && ((unsigned char)text[end] & 0xc0) == 0x80) end--; /* no part of a letter */
    snprintf(out, 64, "%.*s%s", (int)(size > 63 ? end : size), text, size > 63 ? "..." : "");
    free(text);
}

status config_resume_check(const struct config *before, const struct config *now,
                           const struct config_changes *changes)
{
    for (int i = 0; i < config_key_count; i++) {
        const struct config_key *key = &config_keys[i];
        if (config_value_equal(before, now, key) || may_differ(before, now, key)) continue;
        char was[64], is[64];
        value_text(before, key, was);
        value_text(now, key, is);
        if (!may_be_changed(key))
            FAIL(STATUS_INPUT,
                 "key %s differs from the run that is resumed, where it was %s, not %s; set it "
                 "back or start a new --run",
                 key->name, was, is);
        if (!asked_for(changes, key))
            FAIL(STATUS_INPUT,
                 "key %s differs from the run that is resumed, where it was %s, not %s; set it "
                 "back, or ask for it: --change %s=VALUE",
                 key->name, was, is, key->name);
    }
    return NULL;
}

bool config_changed(const struct config *before, const struct config *now,
                    const struct config_changes *changes, int i, const char **name, char was[64],
                    char is[64])
{
    const struct config_key *key = &config_keys[changes->key[i]];
    if (config_value_equal(before, now, key)) return false;
    *name = key->name;
    value_text(before, key, was);
    value_text(now, key, is);
    return true;
}
