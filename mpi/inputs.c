/* See inputs.h. */
#include "mpi/inputs.h"

#include "src/base/data_name.h"
#include "src/base/memory.h"
#include "src/checkpoint/layout.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { LONG_PATH = CONFIG_TEXT_MAX + 288 };

static void input_add(struct run_inputs *inputs, const char *key, const char hex[SHA256_HEX])
{
    struct run_input *one = &inputs->list[inputs->count++];
    snprintf(one->key, sizeof one->key, "%s", key);
    snprintf(one->sha256, sizeof one->sha256, "%s", hex);
}

/* A file, or a name of something built in: then of the name. */
static status path_hash(const char *path, bool built_in, char hex[SHA256_HEX])
{
    if (!built_in) return sha256_file(path, hex);
    struct sha256 *hash = sha256_begin();
    sha256_add(hash, path, strlen(path));
    return sha256_end(hash, hex);
}

static bool is_regular(const char *path)
{
    struct stat about;
    return stat(path, &about) == 0 && S_ISREG(about.st_mode);
}

/* FOLDER/NAME with its name, where it is there. */
static status file_add(struct sha256 *hash, const char *folder, const char *name)
{
    char path[LONG_PATH], hex[SHA256_HEX];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    if (!file_exists(path)) return NULL;
    TRY(sha256_file(path, hex));
    sha256_add(hash, name, strlen(name) + 1);
    sha256_add(hash, hex, strlen(hex));
    return NULL;
}

/* The tokenizer and the idf table beside it, else beside the model (src/rollout/language.c). */
static status texts_add(struct sha256 *hash, const struct config *config)
{
    const char *tokenizer = config->tokenizer.path, *model = config->model.path;
    const char *folder = tokenizer[0] ? tokenizer : model;
    if (!strcmp(folder, "bytes"))
        sha256_add(hash, folder, strlen(folder));
    else
        for (size_t i = 0; checkpoint_text_files[i]; i++)
            TRY(file_add(hash, folder, checkpoint_text_files[i]));
    return folder == model || !model[0] ? NULL : file_add(hash, model, "idf.tsv");
}

static bool is_weights(const char *name)
{
    const char *ending = strstr(name, ".safetensors");
    return ending || !strcmp(name, "config.json") || !strcmp(name, "adapter_config.json");
}

/* A model folder: its manifest, which has the hashes of all its files, or what a Hugging Face
 * folder is loaded from. */
static status model_add(struct sha256 *hash, const char *folder)
{
    char path[LONG_PATH];
    struct dirent **list;
    snprintf(path, sizeof path, "%s/manifest.json", folder);
    if (file_exists(path)) return file_add(hash, folder, "manifest.json");
    const int count = scandir(folder, &list, NULL, alphasort);
    if (count < 0) FAIL(STATUS_INPUT, "cannot list %s: %s", folder, strerror(errno));
    status s = NULL;
    for (int i = 0; i < count; i++) {
        if (!s && is_weights(list[i]->d_name)) s = file_add(hash, folder, list[i]->d_name);
        free(list[i]);
    }
    free(list);
    return s;
}

/* The end of a hash that something was added to. */
static status hash_end(struct run_inputs *out, const char *key, struct sha256 *hash, status s)
{
    char hex[SHA256_HEX];
    s = status_first(s, sha256_end(hash, hex));
    if (!s) input_add(out, key, hex);
    return s;
}

static status model_hash(const char *key, const char *folder, struct run_inputs *out)
{
    if (!folder[0] || !directory_exists(folder)) return NULL;
    struct sha256 *hash = sha256_begin();
    return hash_end(out, key, hash, status_context(model_add(hash, folder), "%s", key));
}

status run_inputs_of(const struct config *config, bool models, struct run_inputs *out)
{
    const struct {
        const char *key, *path;
    } files[] = {{"data.train", config->data.train},
                 {"data.valid", config->data.valid},
                 {"salience.keywords", config->salience.keywords},
                 {"reward.plugin", config->reward.plugin},
                 {"reward.fit", config->reward.fit},
                 {"eval.on_topic_data", config->eval.on_topic_data}};
    memset(out, 0, sizeof *out);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char hex[SHA256_HEX];
        const char *path = files[i].path;
        const bool built_in = data_is_generated(path);
        if (!built_in && !is_regular(path)) continue; /* whoever reads it says why not */
        TRY(status_context(path_hash(path, built_in, hex), "%s", files[i].key));
        input_add(out, files[i].key, hex);
    }
    struct sha256 *hash = sha256_begin();
    TRY(hash_end(out, "tokenizer.path", hash, texts_add(hash, config)));
    TRY(model_hash("reward.model", config->reward.model, out));
    TRY(model_hash("rm.align.teacher", config->rm.align.teacher, out));
    TRY(model_hash("eval.encoder", config->eval.encoder, out));
    TRY(model_hash("eval.on_topic", config->eval.on_topic, out));
    if (!models) return NULL;
    TRY(model_hash("model.path", config->model.path, out));
    TRY(model_hash("model.reference_path", config->model.reference_path, out));
    TRY(model_hash("adapter.path", config->adapter.path, out));
    return model_hash("model.user_path", config->model.user_path, out);
}

const char *run_inputs_find(const struct run_inputs *inputs, const char *key)
{
    for (int64_t i = 0; i < inputs->count; i++)
        if (!strcmp(inputs->list[i].key, key)) return inputs->list[i].sha256;
    return NULL;
}

/* The first key of a that b has not, or has with another hash. */
static const char *missing_in(const struct run_inputs *a, const struct run_inputs *b)
{
    for (int64_t i = 0; i < a->count; i++) {
        const char *other = run_inputs_find(b, a->list[i].key);
        if (!other || strcmp(other, a->list[i].sha256) != 0) return a->list[i].key;
    }
    return NULL;
}

const char *run_inputs_difference(const struct run_inputs *a, const struct run_inputs *b)
{
    const char *key = missing_in(a, b);
    return key ? key : missing_in(b, a);
}

status run_inputs_print(const struct run_inputs *inputs, char **text, size_t *size)
{
    FILE *stream = memory_stream(text, size);
    for (int64_t i = 0; i < inputs->count; i++)
        fprintf(stream, "%s %s\n", inputs->list[i].key, inputs->list[i].sha256);
    memory_stream_close(stream);
    return NULL;
}

void run_inputs_parse(const char *text, struct run_inputs *out)
{
    memset(out, 0, sizeof *out);
    for (const char *line = text; *line && out->count < RUN_INPUTS_MAX;) {
        struct run_input *one = &out->list[out->count];
        if (sscanf(line, "%31s %64s", one->key, one->sha256) == 2) out->count++;
        line += strcspn(line, "\n");
        line += *line == '\n';
    }
}
