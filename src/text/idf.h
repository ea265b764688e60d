/* How rare words are: document frequencies over a training set (a document is one dialogue),
 * idf(w) = log((1+D)/(1+df(w))) + 1, and its quantiles over word occurrences (docs/reward.md). */
#ifndef REGARD_TEXT_IDF_H
#define REGARD_TEXT_IDF_H

#include "src/base/status.h"

#include <stdbool.h>
#include <stdint.h>

#define IDF_FILE "idf.tsv" /* beside the tokenizer */

struct idf_table;

struct idf_table *idf_create(void);
/* One dialogue: the texts of all its messages. */
void idf_add_document(struct idf_table *table, const char *const *texts, int64_t count);
void idf_free(struct idf_table *table);

/* word: lower-cased and NUL-terminated; one never seen has document frequency 0. */
double idf_value(const struct idf_table *table, const char *word);
/* The q quantile (0..1) of idf over the occurrences of words, the lower of two neighbours:
 * element floor(q (n-1)) of the sorted values.  Infinite for an empty table. */
double idf_quantile(const struct idf_table *table, double q);

/* FOLDER/idf.tsv: "documents D", then "word df occurrences" sorted by bytes, tab-separated;
 * equal tables give equal bytes. */
status idf_save(const struct idf_table *table, const char *folder);
/* *out is NULL when the folder holds no table. */
status idf_load(const char *folder, struct idf_table **out);

#endif
