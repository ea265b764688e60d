/* Merges of a byte-pair encoding: which pairs of ids become one id, and in what order. */
#ifndef REGARD_TEXT_BPE_MERGE_H
#define REGARD_TEXT_BPE_MERGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A token of a word: its id, and the bytes [begin, end) of the word that it stands for. */
struct symbol {
    int32_t id;
    int32_t begin, end;
};

struct merge_table;
struct merge_table *merge_table_create(int64_t count); /* room for so many merges */
void merge_table_free(struct merge_table *table);
/* left and right become id; a pair that is there already gets the new rank. */
void merge_table_add(struct merge_table *table, int32_t left, int32_t right, int32_t rank,
                     int32_t id);

/* Merges neighbours, the lowest rank first and of equal ones the leftmost, until no pair has a
 * merge.  In place; returns how many symbols are left.  Time is count * log(count). */
int64_t merge_symbols(const struct merge_table *table, struct symbol *symbols, int64_t count);

#endif
