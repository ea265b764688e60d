/* The hashed words of a reply: each word and each pair of neighbours as they are, and once more
 * with words of the history replaced by where they were said last, by messages back and the place
 * of their first mention there. */
#include "src/base/memory.h"
#include "src/fit/columns.h"
#include "src/text/words.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Messages and places further back than these are alike. */
enum { BACK_MAX = 9, PLACE_MAX = 31, FORM_MAX = 32 };

/* FNV-1a, 64 bits, of kind, a, 0, b. */
static int32_t bucket_of(char kind, const char *a, const char *b)
{
    uint64_t hash = 0xcbf29ce484222325u;
    hash = (hash ^ (unsigned char)kind) * 0x100000001b3u;
    for (const char *c = a; *c; c++) hash = (hash ^ (unsigned char)*c) * 0x100000001b3u;
    hash *= 0x100000001b3u; /* the byte 0 */
    for (const char *c = b; *c; c++) hash = (hash ^ (unsigned char)*c) * 0x100000001b3u;
    return (int32_t)((hash >> 32 ^ hash) & (WORD_BUCKETS - 1));
}

/* Where the history said a word last: "@BACK PLACE", the last message being 0 back; the word itself
 * where it did not. */
static void place_form(const struct word_list *said, int64_t messages, const char *word,
                       char *memory, const char **form)
{
    *form = word;
    for (int64_t m = messages; m-- > 0;)
        for (int64_t w = 0; w < said[m].count; w++) {
            if (strcmp(word_text(&said[m], w), word) != 0) continue;
            const int64_t back = messages - 1 - m;
            snprintf(memory, FORM_MAX, "@%lld %lld", (long long)(back < BACK_MAX ? back : BACK_MAX),
                     (long long)(w < PLACE_MAX ? w : PLACE_MAX));
            *form = memory;
            return;
        }
}

static int ascending(const void *left, const void *right)
{
    const int32_t a = *(const int32_t *)left, b = *(const int32_t *)right;
    return (a > b) - (a < b);
}

void bag_columns(const struct fit_reply *reply, struct word_bag *bag)
{
    const int64_t messages = reply->message_count;
    struct word_list words = {0};
    struct word_list *said = memory_allocate((size_t)(messages + 1) * sizeof *said);
    for (int64_t m = 0; m < messages; m++)
        words_split(reply->messages[m].content, strlen(reply->messages[m].content), &said[m]);
    words_split(reply->text, strlen(reply->text), &words);
    const int64_t n = words.count;
    char(*memory)[FORM_MAX] = memory_allocate((size_t)(n + 1) * sizeof *memory);
    const char **form = memory_allocate((size_t)(n + 1) * sizeof *form);
    *bag = (struct word_bag){.bucket = memory_allocate((size_t)(4 * n + 1) * sizeof *bag->bucket)};
    for (int64_t i = 0; i < n; i++)
        place_form(said, messages, word_text(&words, i), memory[i], &form[i]);
    for (int64_t i = 0; i < n; i++) {
        bag->bucket[bag->count++] = bucket_of('w', word_text(&words, i), "");
        bag->bucket[bag->count++] = bucket_of('p', form[i], "");
        if (i + 1 == n) break;
        bag->bucket[bag->count++] = bucket_of('W', word_text(&words, i), word_text(&words, i + 1));
        bag->bucket[bag->count++] = bucket_of('P', form[i], form[i + 1]);
    }
    qsort(bag->bucket, (size_t)bag->count, sizeof *bag->bucket, ascending);
    int64_t kept = 0;
    for (int64_t i = 0; i < bag->count; i++)
        if (!kept || bag->bucket[kept - 1] != bag->bucket[i]) bag->bucket[kept++] = bag->bucket[i];
    bag->count = kept;
    for (int64_t m = 0; m < messages; m++) word_list_free(&said[m]);
    word_list_free(&words);
    free(said);
    free(memory);
    free(form);
}
