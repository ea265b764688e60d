/* Salient words and tokens; see salience.h. */
#include "src/text/salience.h"

#include "src/base/file.h"
#include "src/base/memory.h"
#include "src/text/word_table.h"
#include "src/text/words.h"

#include <stdlib.h>
#include <string.h>

struct keyword_set {
    struct word_table words;
};

status keywords_read(const char *path, struct keyword_set **out)
{
    char *text;
    size_t size;
    struct word_list list = {0};
    TRY(file_read(path, &text, &size));
    *out = memory_allocate(sizeof **out);
    words_split(text, size, &list);
    for (int64_t i = 0; i < list.count; i++) word_table_add(&(*out)->words, word_text(&list, i));
    word_list_free(&list);
    free(text);
    return NULL;
}

/* set may be NULL. */
static bool keywords_hold(const struct keyword_set *set, const char *word)
{
    return set && word_table_find(&set->words, word) != NULL;
}

void keywords_free(struct keyword_set *set)
{
    if (!set) return;
    word_table_free(&set->words);
    free(set);
}

static bool word_is_salient(const struct salience_options *options, const struct word_list *list,
                            int64_t index)
{
    const struct word *word = &list->words[index];
    const char *text = word_text(list, index);
    if (options->idf && idf_value(options->idf, text) >= options->idf_threshold) return true;
    if (keywords_hold(options->keywords, text)) return true;
    if (options->digits && word->has_digit) return true;
    return options->entities && (word->has_digit || (word->capital && !word->starts_sentence));
}

void salience_mark(const struct salience_options *options, const char *text, size_t size,
                   const int32_t *begin, const int32_t *end, int64_t count, uint8_t *salient)
{
    struct word_list list = {0};
    uint8_t *bytes = memory_allocate(size + 1); /* 1 where a byte lies in a salient word */
    words_split(text, size, &list);
    for (int64_t i = 0; i < list.count; i++)
        if (word_is_salient(options, &list, i))
            memset(bytes + list.words[i].begin, 1,
                   (size_t)(list.words[i].end - list.words[i].begin));
    for (int64_t i = 0; i < count; i++) {
        salient[i] = 0;
        for (int32_t at = begin[i]; at < end[i] && (size_t)at < size; at++)
            salient[i] = salient[i] | bytes[at];
    }
    free(bytes);
    word_list_free(&list);
}
