/* A hash table of words with two counts each; the idf table and the keywords stand on it. */
#ifndef REGARD_TEXT_WORD_TABLE_H
#define REGARD_TEXT_WORD_TABLE_H

#include <stdint.h>

struct word_entry {
    char *word; /* NULL: an empty place */
    int64_t documents, occurrences;
    int64_t last_document; /* while counting */
};

struct word_table {
    struct word_entry *entries; /* capacity, a power of two, or NULL */
    int64_t count, capacity;
};

struct word_entry *word_table_find(const struct word_table *table, const char *word);
struct word_entry *word_table_add(struct word_table *table, const char *word);
void word_table_free(struct word_table *table);

#endif
