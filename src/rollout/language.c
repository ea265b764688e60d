/* Tokenizer, idf table and history options of a run; see language.h. */
#include "src/rollout/language.h"

#include "src/base/file.h"
#include "src/base/memory.h"

#include <stdlib.h>
#include <string.h>

struct idf_table *language_count_words(const struct dataset *data)
{
    struct idf_table *table = idf_create();
    for (int64_t d = 0; d < data->count; d++) {
        const struct dialogue *dialogue = &data->dialogues[d];
        if (!dialogue->message_count) continue;
        const char **texts = memory_allocate((size_t)dialogue->message_count * sizeof *texts);
        for (int64_t m = 0; m < dialogue->message_count; m++)
            texts[m] = dialogue->messages[m].content;
        idf_add_document(table, texts, dialogue->message_count);
        free(texts);
    }
    return table;
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
        s = tokenizer_open(folder, &language->tokenizer);
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
        .salience = {.idf = language->idf,
                     .idf_threshold =
                         language->idf ? idf_quantile(language->idf, settings->idf_quantile) : 0,
                     .keywords = language->keywords,
                     .entities = settings->entities}};
    *out = language;
    return NULL;
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
    free(language);
}

status language_save(const struct language *language, const char *folder)
{
    if (language->tokenizer) TRY(tokenizer_save(language->tokenizer, folder));
    if (language->idf) TRY(idf_save(language->idf, folder));
    return NULL;
}
