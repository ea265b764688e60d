/* Ten numbers of a reply's plain text; see columns.h for the set, overlap_names there for their
 * names. */
#include "src/base/memory.h"
#include "src/fit/columns.h"
#include "src/text/words.h"

#include <stdlib.h>
#include <string.h>

/* Words of texts in order; NULL stands between messages, so that no pair spans two. */
struct spoken {
    struct word_list *lists; /* [list_count], hold the letters */
    int64_t list_count;
    const char **word; /* [count] */
    int64_t count;
};

static struct spoken spoken_of(const char *const *texts, int64_t count)
{
    struct spoken spoken = {.list_count = count};
    spoken.lists = memory_allocate((size_t)(count + 1) * sizeof *spoken.lists);
    int64_t words = 0;
    for (int64_t i = 0; i < count; i++) {
        words_split(texts[i], strlen(texts[i]), &spoken.lists[i]);
        words += spoken.lists[i].count + 1;
    }
    spoken.word = memory_allocate((size_t)(words + 1) * sizeof *spoken.word);
    for (int64_t i = 0; i < count; i++) {
        for (int64_t w = 0; w < spoken.lists[i].count; w++)
            spoken.word[spoken.count++] = word_text(&spoken.lists[i], w);
        spoken.word[spoken.count++] = NULL;
    }
    return spoken;
}

static void spoken_free(struct spoken *spoken)
{
    for (int64_t i = 0; i < spoken->list_count; i++) word_list_free(&spoken->lists[i]);
    free(spoken->lists);
    free(spoken->word);
}

static bool same(const char *const *a, const char *const *b, int n)
{
    for (int i = 0; i < n; i++)
        if (!a[i] || !b[i] || strcmp(a[i], b[i]) != 0) return false;
    return true;
}

/* Is there one before `end` that equals the n words at `words`? */
static bool occurs(const struct spoken *in, int64_t end, const char *const *words, int n)
{
    for (int64_t i = 0; i + n <= end; i++)
        if (same(in->word + i, words, n)) return true;
    return false;
}

/* The share of the reply's words (n = 1) or pairs (n = 2) that occur in other texts; with `in`
 * NULL: that occur in the reply before. */
static double share(const struct spoken *reply, const struct spoken *in, int n)
{
    int64_t found = 0;
    const int64_t words = reply->count - 1, grams = words - n + 1;
    for (int64_t i = 0; i < grams; i++)
        found += in ? occurs(in, in->count, reply->word + i, n)
                    : occurs(reply, i + n - 1, reply->word + i, n);
    return grams > 0 ? (double)found / (double)grams : 0;
}

void overlap_columns(const struct fit_reply *reply, double out[OVERLAP_COLUMNS])
{
    const int64_t count = reply->message_count;
    const char **texts = memory_allocate((size_t)(count + 1) * sizeof *texts);
    const char *last = NULL;
    for (int64_t m = 0; m < count; m++) {
        texts[m] = reply->messages[m].content;
        if (reply->messages[m].role == ROLE_ASSISTANT) last = texts[m];
    }
    struct spoken said = spoken_of(&reply->text, 1), history = spoken_of(texts, count);
    struct spoken prompt = spoken_of(texts + (count ? count - 1 : 0), count ? 1 : 0);
    struct spoken before = spoken_of(&last, last ? 1 : 0);
    out[0] = share(&said, &history, 1);
    out[1] = share(&said, &prompt, 1);
    out[2] = share(&said, &before, 1);
    out[3] = share(&said, &history, 2);
    out[4] = share(&said, &prompt, 2);
    out[5] = share(&said, NULL, 1);
    out[6] = share(&said, NULL, 2);
    out[7] = (double)(said.count - 1);
    double characters = 0, questions = 0;
    for (const char *c = reply->text; *c; c++) {
        characters += ((unsigned char)*c & 0xc0) != 0x80; /* not inside a character */
        questions += *c == '?';
    }
    out[8] = characters;
    out[9] = questions;
    spoken_free(&said);
    spoken_free(&history);
    spoken_free(&prompt);
    spoken_free(&before);
    free(texts);
}
