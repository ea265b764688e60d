/* See reward_words.h. */
#include "mpi/reward_words.h"

#include "src/base/config_keys.h"
#include "src/base/file.h"
#include "src/base/json.h"
#include "src/base/memory.h"
#include "src/checkpoint/layout.h"
#include "src/checkpoint/state.h"

#include <stdlib.h>
#include <string.h>

/* The objective, and what language_open makes sequences by; the tokenizer and what idf it counted
 * lie beside it. */
static const char *const kept[] = {"rm.objective",     "history.max_tokens",    "history.prune",
                                   "text.user_marker", "text.assistant_marker", "text.chat",
                                   "text.system",      "salience.idf_quantile", "salience.entities",
                                   "salience.keywords"};
enum { KEPT = sizeof kept / sizeof *kept };

/* As YAML; the caller frees it. */
static char *value_text(const struct config *config, const char *name)
{
    char *text = NULL;
    size_t size;
    FILE *stream = memory_stream(&text, &size);
    config_value_print(config, config_key_find(name), stream);
    memory_stream_close(stream);
    return text;
}

status reward_words_save(const struct config *config, const char *folder)
{
    char path[CHECKPOINT_PATH_MAX + 32];
    json_t *note = json_pack("{s:b}", "value_head", 1);
    for (int i = 0; i < KEPT; i++) {
        char *text = value_text(config, kept[i]);
        json_object_set_new(note, kept[i], json_string(text));
        free(text);
    }
    char *text = json_dumps(note, JSON_INDENT(1));
    snprintf(path, sizeof path, "%s/" CHECKPOINT_VALUE_HEAD, folder);
    status s = file_write(path, text, strlen(text));
    free(text);
    json_decref(note);
    return s;
}

static status config_of_state(const char *folder, struct config *out)
{
    char path[CHECKPOINT_PATH_MAX + 32];
    struct config saved;
    char *text;
    int64_t count;
    snprintf(path, sizeof path, "%s/state.h5", folder);
    if (!file_exists(path))
        FAIL(STATUS_INPUT,
             "%s/" CHECKPOINT_VALUE_HEAD " does not say how this reward model reads, and there is "
             "no state.h5 beside it; give the folder that regard reward wrote",
             folder);
    TRY(state_read(folder, "config", STATE_TEXT, (void **)&text, &count));
    status s = config_read_saved(&saved, path, text, (size_t)count);
    free(text);
    if (!s) *out = saved;
    return s;
}

static status key_load(const json_t *note, const char *path, const char *name, struct config *out)
{
    const char *text;
    TRY(json_get_text(note, path, name, &text));
    const size_t size = strlen(name) + strlen(text) + 2;
    char *assignment = memory_allocate(size);
    snprintf(assignment, size, "%s=%s", name, text);
    status s = status_context(config_set(out, assignment), "%s", path);
    free(assignment);
    return s;
}

status reward_words_load(const char *folder, struct config *out)
{
    char path[CHECKPOINT_PATH_MAX + 32];
    json_t *note;
    snprintf(path, sizeof path, "%s/" CHECKPOINT_VALUE_HEAD, folder);
    TRY(json_read(path, &note));
    config_defaults(out);
    status s = NULL;
    if (!json_object_get(note, kept[0]))
        s = config_of_state(folder, out);
    else
        for (int i = 0; !s && i < KEPT; i++) s = key_load(note, path, kept[i], out);
    json_decref(note);
    return s;
}

status reward_words_compare(const struct config *own, const struct config *asked,
                            const char *folder)
{
    struct config defaults;
    config_defaults(&defaults);
    for (int i = 0; i < KEPT; i++) {
        const struct config_key *key = config_key_find(kept[i]);
        if (config_value_equal(own, asked, key) || config_value_equal(&defaults, asked, key))
            continue;
        char *is = value_text(own, kept[i]), *said = value_text(asked, kept[i]);
        status s = ERROR(STATUS_INPUT,
                         "%s is %s, but the reward model %s was trained with %s, by which it "
                         "reads; leave it out",
                         kept[i], said, folder, is);
        free(is);
        free(said);
        return s;
    }
    return NULL;
}
