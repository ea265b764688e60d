/* Tokenizer, idf table and history options of a run; see language.h. */
#include "src/rollout/language.h"

#include "src/base/file.h"
#include "src/base/heartbeat.h"
#include "src/base/json.h"
#include "src/base/memory.h"
#include "src/text/chat_write.h"

#include <stdlib.h>
#include <string.h>

struct idf_table *language_count_words(const struct dataset *data)
{
    struct idf_table *table = idf_create();
    for (int64_t d = 0; d < data->count; d++) {
        const struct dialogue *dialogue = &data->dialogues[d];
        heartbeat_note();
        if (!dialogue->message_count) continue;
        const char **texts = memory_allocate((size_t)dialogue->message_count * sizeof *texts);
        const int64_t own = dialogue->message_count - dialogue->given;
        for (int64_t m = 0; m < own; m++)
            texts[m] = dialogue->messages[dialogue->given + m].content;
        idf_add_document(table, texts, own);
        free(texts);
    }
    return table;
}

/* Encoders have markers whatever a folder holds.  No folder: a new model. */
static status has_encoder(const struct language_settings *settings, const char *folder, bool *out)
{
    char path[1200];
    json_t *config;
    *out = !*folder && settings->encoder;
    snprintf(path, sizeof path, "%s/config.json", folder);
    if (!*folder || !file_exists(path)) return NULL;
    TRY(json_read(path, &config));
    *out = json_is_true(json_object_get(config, "is_encoder_decoder"));
    json_decref(config);
    return NULL;
}

static status chat_by_name(const char *name, const struct chat_format **out)
{
    char names[256];
    chat_names(names, sizeof names);
    *out = chat_find(name);
    if (!*out) FAIL(STATUS_INPUT, "text.chat: there is no %s; there are auto, %s", name, names);
    return NULL;
}

/* What is wrong with the template waits for the first history: token lines need none. */
static status chat_by_template(struct language *language, const char *folder,
                               const char *model_folder, const struct chat_format **out)
{
    struct chat_template *template = &language->chat_template;
    int32_t end;
    TRY(chat_template_read(folder, template));
    if (!template->source && strcmp(folder, model_folder) != 0) {
        chat_template_free(template);
        TRY(chat_template_read(model_folder, template));
    }
    if (!template->source) return NULL;
    status s = chat_recognise(template, out, &language->chat_system);
    if (!s) s = chat_end(*out, language->tokenizer, &end);
    if (!s) return NULL;
    language->chat_refused = memory_text(status_message(s));
    status_free(s);
    return NULL;
}

static status chat_open(struct language *language, const char *folder, const char *model_folder)
{
    const struct language_settings *settings = &language->settings;
    struct history_options *history = &language->history;
    const bool automatic = !strcmp(settings->chat, "auto");
    bool encoder;
    int32_t end;
    if (!language->tokenizer) return NULL;
    TRY(has_encoder(settings, model_folder, &encoder));
    if (encoder && !automatic)
        FAIL(STATUS_INPUT, "text.chat: %s has an encoder, whose histories have markers; set auto",
             model_folder[0] ? model_folder : "the new model");
    if (!automatic) {
        TRY(chat_by_name(settings->chat, &history->chat));
        TRY(chat_end(history->chat, language->tokenizer, &end));
        language->chat_template.source =
            chat_template_write(history->chat, settings->system[0] ? settings->system : NULL);
    } else if (!encoder) {
        TRY(chat_by_template(language, folder, model_folder, &history->chat));
    }
    if (!history->chat && !language->chat_refused && tokenizer_end(language->tokenizer) < 0) {
        char why[1400];
        snprintf(why, sizeof why,
                 "%s: no file names the token that ends a text; put \"eos_token\" into its "
                 "tokenizer_config.json",
                 folder);
        language->chat_refused = memory_text(why);
    }
    history->refused = language->chat_refused;
    history->system = settings->system[0] ? settings->system : language->chat_system;
    if (settings->system[0] && !history->refused &&
        (!history->chat || !history->chat->turns[ROLE_SYSTEM].before))
        FAIL(STATUS_INPUT, "text.system: %s no system message; leave it empty",
             history->chat ? "this chat format has" : "histories with markers have");
    return NULL;
}

status language_open(const struct language_settings *settings, const char *model_folder,
                     const struct dataset *data, struct language **out)
{
    struct language *language = memory_allocate(sizeof *language);
    language->settings = *settings;
    const char *folder = settings->tokenizer[0] ? settings->tokenizer : model_folder;
    status s = NULL;
    if (!strcmp(folder, "bytes"))
        language->tokenizer = tokenizer_bytes(settings->extra_ids ? settings->extra_ids : 125);
    else if (folder[0]) {
        if (!settings->tokenizer[0] && !directory_exists(folder))
            s = ERROR(STATUS_INPUT, "%s: no such model folder", folder);
        if (!s) s = tokenizer_open(folder, &language->tokenizer);
        if (!s && !language->tokenizer && settings->tokenizer[0])
            s = ERROR(STATUS_INPUT, "tokenizer.path: %s %s", folder,
                      directory_exists(folder) ? "holds no tokenizer" : "is no folder");
        if (!s) s = idf_load(folder, &language->idf);
    }
    if (!s && !language->idf && model_folder[0] && strcmp(model_folder, folder) != 0)
        s = idf_load(model_folder, &language->idf);
    if (!s && !language->idf && data) language->idf = language_count_words(data);
    if (!s && settings->keywords[0])
        s = status_context(keywords_read(settings->keywords, &language->keywords),
                           "salience.keywords");
    if (!s && settings->prune && language->tokenizer && !language->idf)
        s = ERROR(STATUS_INPUT,
                  "history.prune: %s: there is no table of how rare words are (idf.tsv) beside the "
                  "tokenizer; regard tokenizer train and every run of train write one",
                  folder);
    if (s) {
        language_close(language);
        return s;
    }
    language->history = (struct history_options){
        .tokenizer = language->tokenizer,
        .user_marker = language->settings.user_marker,
        .assistant_marker = language->settings.assistant_marker,
        .max_tokens = settings->max_tokens,
        .prompt_only = settings->prompt_only,
        .prune = settings->prune,
        .slots = settings->summary_slots,
        .all_slots = settings->all_slots,
        .salience = {.idf = language->idf,
                     .idf_threshold =
                         language->idf ? idf_quantile(language->idf, settings->idf_quantile) : 0,
                     .keywords = language->keywords,
                     .entities = settings->entities,
                     .digits = settings->digits}};
    s = chat_open(language, folder, model_folder);
    if (s) {
        language_close(language);
        return s;
    }
    *out = language;
    return NULL;
}

status language_ends(const struct language *language, struct model *model)
{
    int32_t end;
    if (!language->history.chat) return NULL;
    TRY(chat_end(language->history.chat, language->tokenizer, &end));
    return model_add_end(model, end);
}

status language_fits(const struct language *language, int64_t vocabulary)
{
    const int64_t size = language->tokenizer ? tokenizer_size(language->tokenizer) : 0;
    if (size > vocabulary)
        FAIL(STATUS_INPUT,
             "the tokenizer has %lld ids, the model's vocabulary %lld: they do not belong together",
             (long long)size, (long long)vocabulary);
    return NULL;
}

void language_close(struct language *language)
{
    if (!language) return;
    if (language->tokenizer) tokenizer_close(language->tokenizer);
    if (language->idf) idf_free(language->idf);
    if (language->keywords) keywords_free(language->keywords);
    chat_template_free(&language->chat_template);
    free(language->chat_system);
    free(language->chat_refused);
    free(language);
}

status language_save(const struct language *language, const char *folder)
{
    if (language->tokenizer) TRY(tokenizer_save(language->tokenizer, folder));
    if (language->idf) TRY(idf_save(language->idf, folder));
    const char *source = language->chat_template.source;
    if (source) {
        char path[1200];
        snprintf(path, sizeof path, "%s/chat_template.jinja", folder);
        return file_write(path, source, strlen(source));
    }
    return NULL;
}
