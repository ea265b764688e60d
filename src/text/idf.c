/* Document frequencies, their quantiles and their file; see idf.h. */
#include "src/text/idf.h"

#include "src/base/file.h"
#include "src/base/memory.h"
#include "src/text/word_table.h"
#include "src/text/words.h"

#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

struct idf_table {
    struct word_table words;
    int64_t documents;
};

struct idf_table *idf_create(void)
{
    return memory_allocate(sizeof(struct idf_table));
}

void idf_free(struct idf_table *table)
{
    if (!table) return;
    word_table_free(&table->words);
    free(table);
}

void idf_add_document(struct idf_table *table, const char *const *texts, int64_t count)
{
    struct word_list list = {0};
    table->documents++;
    for (int64_t i = 0; i < count; i++) {
        words_split(texts[i], strlen(texts[i]), &list);
        for (int64_t w = 0; w < list.count; w++) {
            struct word_entry *entry = word_table_add(&table->words, word_text(&list, w));
            entry->occurrences++;
            if (entry->last_document != table->documents) {
                entry->last_document = table->documents;
                entry->documents++;
            }
        }
    }
    word_list_free(&list);
}

static double idf_of(const struct idf_table *table, int64_t documents)
{
    return log((1.0 + (double)table->documents) / (1.0 + (double)documents)) + 1.0;
}

double idf_value(const struct idf_table *table, const char *word)
{
    const struct word_entry *entry = word_table_find(&table->words, word);
    return idf_of(table, entry ? entry->documents : 0);
}

/* Entries in the order of `compare`; the caller frees. */
static struct word_entry *sorted(const struct idf_table *table,
                                 int (*compare)(const void *, const void *))
{
    struct word_entry *list = memory_allocate((size_t)(table->words.count + 1) * sizeof *list);
    int64_t count = 0;
    for (int64_t i = 0; i < table->words.capacity; i++)
        if (table->words.entries[i].word) list[count++] = table->words.entries[i];
    if (count > 0) qsort(list, (size_t)count, sizeof *list, compare);
    return list;
}

static int by_frequency_falling(const void *left, const void *right)
{
    const struct word_entry *a = left, *b = right;
    return (a->documents < b->documents) - (a->documents > b->documents);
}

static int by_word(const void *left, const void *right)
{
    const struct word_entry *a = left, *b = right;
    return strcmp(a->word, b->word);
}

double idf_quantile(const struct idf_table *table, double q)
{
    if (table->words.count == 0) return INFINITY;
    struct word_entry *list = sorted(table, by_frequency_falling); /* idf rising */
    int64_t total = 0, before = 0;
    for (int64_t i = 0; i < table->words.count; i++) total += list[i].occurrences;
    const int64_t wanted = (int64_t)floor(q * (double)(total - 1));
    double value = idf_of(table, list[table->words.count - 1].documents);
    for (int64_t i = 0; i < table->words.count; i++) {
        before += list[i].occurrences;
        if (before > wanted) {
            value = idf_of(table, list[i].documents);
            break;
        }
    }
    free(list);
    return value;
}

/* The file's bytes; the caller frees. */
static char *idf_text(const struct idf_table *table, size_t *size)
{
    char *text = NULL;
    FILE *out = memory_stream(&text, size);
    struct word_entry *list = sorted(table, by_word);
    fprintf(out, "documents\t%" PRId64 "\n", table->documents);
    for (int64_t i = 0; i < table->words.count; i++)
        fprintf(out, "%s\t%" PRId64 "\t%" PRId64 "\n", list[i].word, list[i].documents,
                list[i].occurrences);
    free(list);
    fclose(out);
    return text;
}

status idf_save(const struct idf_table *table, const char *folder)
{
    char path[PATH_MAX];
    size_t size;
    snprintf(path, sizeof path, "%s/" IDF_FILE, folder);
    char *text = idf_text(table, &size);
    status s = file_write(path, text, size);
    free(text);
    return s;
}

/* A whole number of at most 18 digits, then `after`; NULL where there is none. */
static char *read_number(char *text, char after, int64_t *out)
{
    int64_t value = 0;
    int digits = 0;
    for (; *text >= '0' && *text <= '9' && digits < 18; text++, digits++)
        value = 10 * value + (*text - '0');
    if (digits == 0 || *text != after) return NULL;
    *out = value;
    return text + 1;
}

static bool is_utf8(const char *text)
{
    const utf8proc_uint8_t *at = (const utf8proc_uint8_t *)text;
    while (*at) {
        utf8proc_int32_t c;
        const utf8proc_ssize_t size = utf8proc_iterate(at, -1, &c);
        if (size <= 0) return false;
        at += size;
    }
    return true;
}

static status read_lines(struct idf_table *table, const char *path, char *text, size_t size)
{
    char *next = strncmp(text, "documents\t", 10) == 0
                     ? read_number(text + 10, '\n', &table->documents)
                     : NULL;
    if (!next) FAIL(STATUS_INPUT, "%s:1: an idf table starts with \"documents<TAB>N\"", path);
    for (int64_t line = 2; next < text + size; line++) {
        char *tab = strchr(next, '\t');
        const char *newline = strchr(next, '\n');
        int64_t documents, occurrences;
        if (!tab || !newline || tab > newline || tab == next)
            FAIL(STATUS_INPUT, "%s:%" PRId64 ": not \"word<TAB>documents<TAB>occurrences\"", path,
                 line);
        *tab = 0;
        const char *word = next;
        next = read_number(tab + 1, '\t', &documents);
        if (next) next = read_number(next, '\n', &occurrences);
        if (!next || documents < 1 || documents > table->documents || occurrences < documents)
            FAIL(STATUS_INPUT, "%s:%" PRId64 ": counts that cannot be", path, line);
        if (!is_utf8(word)) FAIL(STATUS_INPUT, "%s:%" PRId64 ": the word is not UTF-8", path, line);
        struct word_entry *entry = word_table_add(&table->words, word);
        if (entry->occurrences > 0)
            FAIL(STATUS_INPUT, "%s:%" PRId64 ": the word stands twice", path, line);
        entry->documents = documents;
        entry->occurrences = occurrences;
    }
    return NULL;
}

status idf_load(const char *folder, struct idf_table **out)
{
    char path[PATH_MAX], *text;
    size_t size;
    *out = NULL;
    snprintf(path, sizeof path, "%s/" IDF_FILE, folder);
    if (!file_exists(path)) return NULL;
    TRY(file_read(path, &text, &size));
    struct idf_table *table = idf_create();
    status s = read_lines(table, path, text, size);
    free(text);
    if (s)
        idf_free(table);
    else
        *out = table;
    return s;
}
