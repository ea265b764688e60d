/* Words of a text by Unicode category; see words.h. */
#include "src/text/words.h"

#include "src/base/memory.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

static bool is_letter(utf8proc_category_t category)
{
    return category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO;
}

static void add_letter(struct word_list *list, utf8proc_int32_t c)
{
    if (list->letters_size + 8 > list->letters_capacity) {
        list->letters_capacity = 2 * list->letters_capacity + 256;
        list->letters = memory_resize(list->letters, list->letters_capacity);
    }
    list->letters_size +=
        (size_t)utf8proc_encode_char(c, (utf8proc_uint8_t *)list->letters + list->letters_size);
}

static struct word *open_word(struct word_list *list, int64_t begin)
{
    if (list->count == list->capacity) {
        list->capacity = 2 * list->capacity + 32;
        list->words = memory_resize(list->words, (size_t)list->capacity * sizeof *list->words);
    }
    struct word *word = &list->words[list->count++];
    memset(word, 0, sizeof *word);
    word->begin = begin;
    word->lower = (int64_t)list->letters_size;
    return word;
}

void words_split(const char *text, size_t size, struct word_list *list)
{
    struct word *open = NULL;
    bool sentence = true;
    list->count = 0;
    list->letters_size = 0;
    for (size_t at = 0; at < size;) {
        utf8proc_int32_t c;
        utf8proc_ssize_t step = utf8proc_iterate((const utf8proc_uint8_t *)text + at,
                                                 (utf8proc_ssize_t)(size - at), &c);
        utf8proc_category_t category = UTF8PROC_CATEGORY_CN;
        if (step > 0)
            category = utf8proc_category(c);
        else
            step = 1;
        const bool digit = category == UTF8PROC_CATEGORY_ND;
        if (is_letter(category) || digit) {
            if (!open) {
                open = open_word(list, (int64_t)at);
                open->capital =
                    category == UTF8PROC_CATEGORY_LU || category == UTF8PROC_CATEGORY_LT;
                open->starts_sentence = sentence;
                sentence = false;
            }
            open->has_digit = open->has_digit || digit;
            add_letter(list, utf8proc_tolower(c));
            open->end = (int64_t)at + step;
        } else {
            if (open) add_letter(list, 0);
            open = NULL;
            if (strchr(".!?\n", text[at]) && text[at]) sentence = true;
        }
        at += (size_t)step;
    }
    if (open) add_letter(list, 0);
}

void word_list_free(struct word_list *list)
{
    free(list->words);
    free(list->letters);
    memset(list, 0, sizeof *list);
}
