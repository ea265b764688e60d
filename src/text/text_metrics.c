/* BLEU, ROUGE-L, distinct-n; see text_metrics.h.  Texts are UTF-8 and read as bytes wherever
 * the answer is the same. */
#include "src/text/text_metrics.h"

#include "src/base/memory.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

struct words {
    char *text; /* words end in zero bytes */
    char **word;
    int64_t count, capacity;
};

static void words_add(struct words *words, char *word)
{
    if (words->count == words->capacity) {
        words->capacity = words->capacity ? 2 * words->capacity : 64;
        words->word = memory_resize(words->word, (size_t)words->capacity * sizeof *words->word);
    }
    words->word[words->count++] = word;
}

static void words_free(struct words *words)
{
    free(words->text);
    free(words->word);
}

/* Is it a character of a script that is written without spaces between words? */
static bool is_unspaced(utf8proc_int32_t c)
{
    static const struct {
        utf8proc_int32_t first, last;
    } ranges[] = {{0x0E00, 0x0EFF},   /* Thai, Lao */
                  {0x1000, 0x109F},   /* Myanmar */
                  {0x1780, 0x17FF},   /* Khmer */
                  {0x2E80, 0x2FDF},   /* radicals */
                  {0x3005, 0x3007},   /* Han marks and zero */
                  {0x3040, 0x30FF},   /* Hiragana, Katakana */
                  {0x31F0, 0x31FF},   /* small Katakana */
                  {0x3400, 0x4DBF},   /* Han */
                  {0x4E00, 0x9FFF},   /* Han */
                  {0xF900, 0xFAFF},   /* Han for compatibility */
                  {0xFF66, 0xFF9F},   /* half-width Katakana */
                  {0x20000, 0x323AF}, /* Han */
                  {0, 0}};
    for (int i = 0; ranges[i].last; i++)
        if (c >= ranges[i].first && c <= ranges[i].last) return true;
    return false;
}

/* The character at text and its bytes; a byte that is no UTF-8 is taken by itself, as -1. */
static size_t character(const char *text, size_t size, utf8proc_int32_t *c)
{
    const utf8proc_ssize_t length =
        utf8proc_iterate((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)size, c);
    if (length > 0) return (size_t)length;
    *c = -1;
    return 1;
}

static bool is_mark(utf8proc_int32_t c)
{
    const utf8proc_category_t category = c < 0 ? UTF8PROC_CATEGORY_CN : utf8proc_category(c);
    return category >= UTF8PROC_CATEGORY_MN && category <= UTF8PROC_CATEGORY_ME;
}

static bool is_letter_or_digit(utf8proc_int32_t c)
{
    const utf8proc_category_t category = c < 0 ? UTF8PROC_CATEGORY_CN : utf8proc_category(c);
    return (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO) ||
           category == UTF8PROC_CATEGORY_ND;
}

/* A copy with a space on either side of each unspaced character and the marks that follow it. */
static char *spaced_out(const char *text)
{
    const size_t size = strlen(text);
    char *copy = memory_allocate(2 * size + 1), *out = copy;
    bool alone = false; /* the last character was unspaced */
    for (size_t at = 0; at < size;) {
        utf8proc_int32_t c;
        const size_t length = character(text + at, size - at, &c);
        if (!is_mark(c)) {
            const bool unspaced = is_unspaced(c);
            if (unspaced || alone) *out++ = ' ';
            alone = unspaced;
        }
        memcpy(out, text + at, length);
        out += length;
        at += length;
    }
    *out = 0;
    return copy;
}

/* Bytes of the white space (Python's str.isspace) that starts at c; 0 when none does. */
static int space_length(const unsigned char *c)
{
    if (*c == ' ' || (*c >= 9 && *c <= 13) || (*c >= 0x1c && *c <= 0x1f)) return 1;
    if (c[0] == 0xc2 && (c[1] == 0x85 || c[1] == 0xa0)) return 2;
    if (c[0] == 0xe1 && c[1] == 0x9a && c[2] == 0x80) return 3;
    if (c[0] == 0xe2 && c[1] == 0x80 &&
        ((c[2] >= 0x80 && c[2] <= 0x8a) || c[2] == 0xa8 || c[2] == 0xa9 || c[2] == 0xaf))
        return 3;
    if (c[0] == 0xe2 && c[1] == 0x81 && c[2] == 0x9f) return 3;
    if (c[0] == 0xe3 && c[1] == 0x80 && c[2] == 0x80) return 3;
    return 0;
}

/* Takes text. */
static struct words words_split(char *text)
{
    struct words words = {.text = text};
    bool inside = false;
    for (char *c = text; *c;) {
        int space = space_length((const unsigned char *)c);
        if (space) {
            *c = 0;
            inside = false;
            c += space;
        } else {
            if (!inside) words_add(&words, c);
            inside = true;
            c++;
        }
    }
    return words;
}

/* In place; with is not longer than what. */
static void replace_all(char *text, const char *what, const char *with)
{
    size_t from = strlen(what), to = strlen(with);
    char *out = text;
    while (*text)
        if (!strncmp(text, what, from)) {
            memcpy(out, with, to);
            out += to;
            text += from;
        } else
            *out++ = *text++;
    *out = 0;
}

static bool is_digit(unsigned char c)
{
    return c >= '0' && c <= '9';
}

static bool is_symbol_13a(unsigned char c)
{
    return (c >= '{' && c <= '~') || (c >= '[' && c <= '`') || (c >= ' ' && c <= '&') ||
           (c >= '(' && c <= '+') || (c >= ':' && c <= '@') || c == '/';
}

/* The four substitutions of mteval-v13a, each left to right over its own matches. */
static char *pass_13a(char *text, int pass)
{
    size_t size = strlen(text);
    char *result = memory_allocate(3 * size + 1), *out = result;
    for (size_t i = 0; i < size;) {
        unsigned char a = (unsigned char)text[i], b = (unsigned char)text[i + 1];
        bool pair = false;
        switch (pass) {
        case 0: /* ([symbols]) -> " \1 " */
            if (is_symbol_13a(a)) {
                *out++ = ' ';
                *out++ = (char)a;
                *out++ = ' ';
                i++;
                continue;
            }
            break;
        case 1: /* ([^0-9])([.,]) -> "\1 \2 " */
            if ((pair = !is_digit(a) && (b == '.' || b == ','))) {
                *out++ = (char)a;
                *out++ = ' ';
                *out++ = (char)b;
                *out++ = ' ';
            }
            break;
        case 2: /* ([.,])([^0-9]) -> " \1 \2" */
            if ((pair = (a == '.' || a == ',') && b && !is_digit(b))) {
                *out++ = ' ';
                *out++ = (char)a;
                *out++ = ' ';
                *out++ = (char)b;
            }
            break;
        default: /* ([0-9])(-) -> "\1 \2 " */
            if ((pair = is_digit(a) && b == '-')) {
                *out++ = (char)a;
                *out++ = ' ';
                *out++ = (char)b;
                *out++ = ' ';
            }
        }
        if (pair)
            i += 2;
        else {
            *out++ = (char)a;
            i++;
        }
    }
    free(text);
    return result;
}

static struct words words_13a(const char *reply)
{
    char *text = spaced_out(reply);
    size_t size = strlen(text);
    char *line = memory_allocate(size + 3);
    /* The trailing white space goes before anything else (sacrebleu's rstrip). */
    size_t keep = 0;
    for (size_t i = 0; i < size;) {
        int space = space_length((const unsigned char *)text + i);
        i += space ? (size_t)space : 1;
        if (!space) keep = i;
    }
    line[0] = ' ';
    memcpy(line + 1, text, keep);
    free(text);
    replace_all(line + 1, "<skipped>", "");
    replace_all(line + 1, "-\n", "");
    replace_all(line + 1, "\n", " ");
    replace_all(line + 1, "&quot;", "\"");
    replace_all(line + 1, "&amp;", "&");
    replace_all(line + 1, "&lt;", "<");
    replace_all(line + 1, "&gt;", ">");
    strcat(line, " ");
    for (int pass = 0; pass < 4; pass++) line = pass_13a(line, pass);
    return words_split(line);
}

/* n-grams are compared as runs of words. */
struct ngram {
    char *const *word;
    int n;
};

static int ngram_compare(const void *left, const void *right)
{
    const struct ngram *a = left, *b = right;
    for (int i = 0; i < a->n; i++) {
        int order = strcmp(a->word[i], b->word[i]);
        if (order) return order;
    }
    return 0;
}

static struct ngram *ngrams_sorted(const struct words *words, int n, int64_t *count)
{
    *count = words->count >= n ? words->count - n + 1 : 0;
    struct ngram *list = memory_allocate((size_t)*count * sizeof *list);
    for (int64_t i = 0; i < *count; i++) list[i] = (struct ngram){words->word + i, n};
    qsort(list, (size_t)*count, sizeof *list, ngram_compare);
    return list;
}

/* n-grams of the reply that the reference has, each at most as often as there. */
static int64_t ngram_matches(const struct words *reply, const struct words *reference, int n)
{
    int64_t a, b, matches = 0;
    struct ngram *left = ngrams_sorted(reply, n, &a), *right = ngrams_sorted(reference, n, &b);
    for (int64_t i = 0, j = 0; i < a && j < b;) {
        int order = ngram_compare(&left[i], &right[j]);
        matches += order == 0;
        i += order <= 0;
        j += order >= 0;
    }
    free(left);
    free(right);
    return matches;
}

double text_bleu(const char *const *replies, const char *const *references, int64_t count)
{
    enum { ORDER = 4 };
    int64_t correct[ORDER] = {0}, total[ORDER] = {0}, reply_length = 0, reference_length = 0;
    for (int64_t i = 0; i < count; i++) {
        struct words reply = words_13a(replies[i]), reference = words_13a(references[i]);
        reply_length += reply.count;
        reference_length += reference.count;
        for (int n = 1; n <= ORDER; n++) {
            if (reply.count >= n) total[n - 1] += reply.count - n + 1;
            correct[n - 1] += ngram_matches(&reply, &reference, n);
        }
        words_free(&reply);
        words_free(&reference);
    }
    if (!correct[0]) return 0; /* then no longer one matched either */
    double sum = 0, smooth = 1;
    for (int n = 0; n < ORDER; n++) {
        if (!total[n]) return 0;
        if (!correct[n]) smooth *= 2;
        sum += log(correct[n] ? 100.0 * (double)correct[n] / (double)total[n]
                              : 100.0 / (smooth * (double)total[n]));
    }
    double brevity = reply_length < reference_length
                         ? exp(1 - (double)reference_length / (double)reply_length)
                         : 1;
    return brevity * exp(sum / ORDER);
}

/* Runs of letters, marks and digits, lower-cased character by character. */
static struct words words_rouge(const char *reply)
{
    char *text = spaced_out(reply);
    const size_t size = strlen(text);
    char *line = memory_allocate(2 * size + 1), *out = line;
    for (size_t at = 0; at < size;) {
        utf8proc_int32_t c;
        at += character(text + at, size - at, &c);
        if (c == 0x130) /* dotted I: i and a combining dot */
            out += sprintf(out, "i\xcc\x87");
        else if (is_letter_or_digit(c) || is_mark(c))
            out += utf8proc_encode_char(utf8proc_tolower(c), (utf8proc_uint8_t *)out);
        else
            *out++ = ' ';
    }
    free(text);
    return words_split(line);
}

static int64_t longest_common(const struct words *a, const struct words *b)
{
    int64_t *row = memory_allocate((size_t)(b->count + 1) * sizeof *row);
    for (int64_t i = 0; i < a->count; i++) {
        int64_t corner = 0;
        for (int64_t j = 0; j < b->count; j++) {
            int64_t above = row[j + 1];
            if (!strcmp(a->word[i], b->word[j]))
                row[j + 1] = corner + 1;
            else if (row[j] > above)
                row[j + 1] = row[j];
            corner = above;
        }
    }
    int64_t length = row[b->count];
    free(row);
    return length;
}

/* Of what both have, out of what each has. */
static double f1(int64_t common, int64_t own, int64_t wanted)
{
    if (!common) return 0;
    const double precision = (double)common / (double)own;
    const double recall = (double)common / (double)wanted;
    return 2 * precision * recall / (precision + recall);
}

double text_rouge_l(const char *reply, const char *reference)
{
    struct words own = words_rouge(reply), wanted = words_rouge(reference);
    const double value = f1(longest_common(&own, &wanted), own.count, wanted.count);
    words_free(&own);
    words_free(&wanted);
    return value;
}

double text_rouge_n(const char *reply, const char *reference, int n)
{
    struct words own = words_rouge(reply), wanted = words_rouge(reference);
    const double value =
        f1(ngram_matches(&own, &wanted, n), own.count - n + 1, wanted.count - n + 1);
    words_free(&own);
    words_free(&wanted);
    return value;
}

/* Characters less white space. */
static utf8proc_int32_t *characters_of(const char *text, int64_t *count)
{
    const size_t size = strlen(text);
    utf8proc_int32_t *out = memory_allocate((size + 1) * sizeof *out);
    *count = 0;
    for (size_t at = 0; at < size;) {
        const int space = space_length((const unsigned char *)text + at);
        at += space ? (size_t)space : character(text + at, size - at, &out[*count]);
        if (!space) ++*count;
    }
    return out;
}

struct characters {
    const utf8proc_int32_t *at;
    int n;
};

static int characters_compare(const void *left, const void *right)
{
    const struct characters *a = left, *b = right;
    for (int i = 0; i < a->n; i++)
        if (a->at[i] != b->at[i]) return a->at[i] < b->at[i] ? -1 : 1;
    return 0;
}

static struct characters *characters_sorted(const utf8proc_int32_t *text, int64_t length, int n,
                                            int64_t *count)
{
    *count = length >= n ? length - n + 1 : 0;
    struct characters *list = memory_allocate((size_t)*count * sizeof *list + 1);
    for (int64_t i = 0; i < *count; i++) list[i] = (struct characters){text + i, n};
    qsort(list, (size_t)*count, sizeof *list, characters_compare);
    return list;
}

double text_chrf(const char *reply, const char *reference)
{
    enum { ORDER = 6, WEIGHT = 4 }; /* beta squared */
    int64_t reply_length, reference_length, orders = 0;
    utf8proc_int32_t *a = characters_of(reply, &reply_length);
    utf8proc_int32_t *b = characters_of(reference, &reference_length);
    double precision = 0, recall = 0;
    for (int n = 1; n <= ORDER; n++) {
        int64_t left_count, right_count, matches = 0;
        struct characters *left = characters_sorted(a, reply_length, n, &left_count);
        struct characters *right = characters_sorted(b, reference_length, n, &right_count);
        for (int64_t i = 0, j = 0; i < left_count && j < right_count;) {
            const int order = characters_compare(&left[i], &right[j]);
            matches += order == 0;
            i += order <= 0;
            j += order >= 0;
        }
        if (left_count && right_count) {
            precision += (double)matches / (double)left_count;
            recall += (double)matches / (double)right_count;
            orders++;
        }
        free(left);
        free(right);
    }
    free(a);
    free(b);
    if (!orders || precision + recall == 0) return 0;
    precision /= (double)orders;
    recall /= (double)orders;
    return 100 * (1 + WEIGHT) * precision * recall / (WEIGHT * precision + recall);
}

double text_distinct(const char *const *replies, int64_t count, int n)
{
    struct words *words = memory_allocate((size_t)count * sizeof *words);
    int64_t positions = 0, distinct = 0;
    for (int64_t i = 0; i < count; i++) {
        words[i] = words_split(spaced_out(replies[i]));
        if (words[i].count >= n) positions += words[i].count - n + 1;
    }
    struct ngram *list = memory_allocate((size_t)positions * sizeof *list);
    int64_t used = 0;
    for (int64_t i = 0; i < count; i++)
        for (int64_t j = 0; j + n <= words[i].count; j++)
            list[used++] = (struct ngram){words[i].word + j, n};
    qsort(list, (size_t)used, sizeof *list, ngram_compare);
    for (int64_t i = 0; i < used; i++)
        distinct += i == 0 || ngram_compare(&list[i - 1], &list[i]) != 0;
    free(list);
    for (int64_t i = 0; i < count; i++) words_free(&words[i]);
    free(words);
    return positions ? (double)distinct / (double)positions : 0;
}
