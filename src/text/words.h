/* Words of a text, as salience counts them: maximal runs of Unicode letters (L*) and decimal
 * digits (Nd), lower-cased; see "Salience" in docs/reward.md. */
#ifndef REGARD_TEXT_WORDS_H
#define REGARD_TEXT_WORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct word {
    int64_t begin, end; /* bytes of the text */
    int64_t lower;      /* where its lower-cased, NUL-terminated form starts in word_list.letters */
    bool has_digit;
    bool capital;         /* starts with an upper- or title-case letter */
    bool starts_sentence; /* first of the text, or after . ! ? or a newline */
};

struct word_list {
    struct word *words;
    int64_t count, capacity;
    char *letters;
    size_t letters_size, letters_capacity;
};

/* Replaces the list by the words of text.  A byte that is no UTF-8 ends a word. */
void words_split(const char *text, size_t size, struct word_list *list);
static inline const char *word_text(const struct word_list *list, int64_t index)
{
    return list->letters + list->words[index].lower;
}
void word_list_free(struct word_list *list);

#endif
