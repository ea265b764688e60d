/* Tokenizers made from texts, by SentencePiece's trainer. */
#include "src/base/file.h"
#include "src/base/memory.h"
#include "src/text/tokenizer.h"
#include "src/text/tokenizer_data.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What white space texts hold beyond single spaces. */
struct white_space {
    bool newlines, tabs, runs; /* runs: several spaces in a row */
};

static struct white_space white_space_of(const char *const *texts, int64_t count)
{
    struct white_space found = {false, false, false};
    for (int64_t i = 0; i < count; i++) {
        found.newlines = found.newlines || strchr(texts[i], '\n');
        found.tabs = found.tabs || strchr(texts[i], '\t');
        found.runs = found.runs || strstr(texts[i], "  ");
    }
    return found;
}

/* The markers, and the newline and tab where texts hold any: SentencePiece folds white space that
 * is no symbol into single spaces. */
static status symbols_csv(const char *const *symbols, int64_t count,
                          const struct white_space *white_space, struct text_buffer *csv)
{
    text_append(csv, "", 0);
    for (int64_t i = 0; i < count; i++) {
        if (!*symbols[i] || strpbrk(symbols[i], ",\"\n"))
            FAIL(STATUS_INPUT, "marker \"%s\" may not be empty nor hold a comma, quote or newline",
                 symbols[i]);
        if (i > 0) text_append(csv, ",", 1);
        text_append(csv, symbols[i], strlen(symbols[i]));
    }
    const char *const quoted[] = {white_space->newlines ? "\"\n\"" : NULL,
                                  white_space->tabs ? "\"\t\"" : NULL};
    for (int i = 0; i < 2; i++) {
        if (!quoted[i]) continue;
        if (csv->size > 0) text_append(csv, ",", 1);
        text_append(csv, quoted[i], strlen(quoted[i]));
    }
    return NULL;
}

/* Where to cut a text that is longer than SentencePiece takes: behind the last white space that
 * fits, else before a character. */
static size_t cut_length(const char *text, size_t size)
{
    if (size <= SENTENCEPIECE_TEXT_MAX) return size;
    size_t cut = SENTENCEPIECE_TEXT_MAX;
    while (cut > 0 && !strchr(" \t\n", text[cut - 1])) cut--;
    if (cut > 0) return cut;
    cut = SENTENCEPIECE_TEXT_MAX;
    while (((unsigned char)text[cut] & 0xC0) == 0x80) cut--;
    return cut;
}

/* All texts in pieces that SentencePiece takes; short ones are the caller's own. */
struct pieces {
    const char **list;
    char **own; /* of those that were cut, NULL elsewhere */
    int64_t count;
};

static void pieces_make(struct pieces *pieces, const char *const *texts, int64_t count)
{
    int64_t room = count;
    for (int64_t i = 0; i < count; i++)
        room += 2 * (int64_t)(strlen(texts[i]) / SENTENCEPIECE_TEXT_MAX);
    pieces->list = memory_allocate((size_t)(room + 1) * sizeof *pieces->list);
    pieces->own = memory_allocate((size_t)(room + 1) * sizeof *pieces->own);
    pieces->count = 0;
    for (int64_t i = 0; i < count; i++) {
        const size_t size = strlen(texts[i]);
        if (size <= SENTENCEPIECE_TEXT_MAX) {
            pieces->list[pieces->count++] = texts[i];
            continue;
        }
        for (size_t at = 0, length; at < size; at += length) {
            length = cut_length(texts[i] + at, size - at);
            char *piece = memory_allocate(length + 1);
            memcpy(piece, texts[i] + at, length);
            pieces->own[pieces->count] = piece;
            pieces->list[pieces->count++] = piece;
        }
    }
}

static void pieces_free(struct pieces *pieces)
{
    for (int64_t i = 0; i < pieces->count; i++) free(pieces->own[i]);
    free(pieces->own);
    free(pieces->list);
}

status tokenizer_train(const char *const *texts, int64_t count, int64_t vocabulary,
                       const char *const *symbols, int64_t symbol_count, const char *folder,
                       int64_t extra_ids)
{
    const struct white_space white_space = white_space_of(texts, count);
    struct text_buffer csv = {0};
    status s = symbols_csv(symbols, symbol_count, &white_space, &csv);
    if (s) {
        free(csv.data);
        return s;
    }
    struct pieces pieces;
    void *model = NULL;
    size_t size;
    char path[PATH_MAX], error[SENTENCEPIECE_ERROR];
    pieces_make(&pieces, texts, count);
    const bool trained = sentencepiece_train(pieces.list, (size_t)pieces.count, vocabulary,
                                             csv.data, white_space.runs, &model, &size, error);
    pieces_free(&pieces);
    free(csv.data);
    if (!trained)
        FAIL(STATUS_INPUT, "SentencePiece cannot train a vocabulary of %" PRId64 ": %s", vocabulary,
             error);
    snprintf(path, sizeof path, "%s/spiece.model", folder);
    s = file_write(path, model, size);
    free(model);
    if (s) return s;
    return tokenizer_write_config(folder, false, extra_ids, NULL, 0);
}
