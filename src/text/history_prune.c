/* Which tokens of old turns go, and in which order; see history_state.h. */
#include "src/text/history_state.h"

#include "src/base/choices.h"
#include "src/base/memory.h"
#include "src/text/history.h"
#include "src/text/words.h"

#include <stdlib.h>

void prune_rarity(const struct idf_table *idf, const char *text, size_t size, const int32_t *begin,
                  const int32_t *end, int64_t count, double *rarity)
{
    struct word_list list = {0};
    double *bytes = memory_allocate((size + 1) * sizeof *bytes); /* idf of the word around it */
    words_split(text, size, &list);
    for (int64_t w = 0; w < list.count; w++) {
        const double value = idf_value(idf, word_text(&list, w));
        for (size_t at = (size_t)list.words[w].begin; at < (size_t)list.words[w].end; at++)
            bytes[at] = value;
    }
    for (int64_t i = 0; i < count; i++) {
        rarity[i] = 0;
        for (int32_t at = begin[i]; at < end[i] && (size_t)at < size; at++)
            if (bytes[at] > rarity[i]) rarity[i] = bytes[at];
    }
    free(bytes);
    word_list_free(&list);
}

static bool may_go(const struct history *history, const struct history_message *message,
                   int64_t token)
{
    if (token < message->lead || (message->ended && token == message->count - 1)) return false;
    return !message->salient[token] &&
           !tokenizer_is_special(history->options->tokenizer, message->ids[token]);
}

int64_t prune_possible(const struct history *history, const struct history_message *message)
{
    int64_t count = 0;
    for (int64_t i = 0; i < message->count; i++) count += may_go(history, message, i);
    return count;
}

/* A token that may go. */
struct candidate {
    bool unread; /* history.prune: mass: no reply of the model has read it yet */
    double key;
    int64_t place;
};

static int candidate_compare(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    if (x->unread != y->unread) return x->unread ? 1 : -1;
    if (x->key != y->key) return x->key < y->key ? -1 : 1;
    return x->place < y->place ? -1 : 1;
}

uint8_t *prune_choose(const struct history *history, int64_t first, int64_t end, int64_t excess)
{
    const struct history_message *messages = history->messages;
    const bool by_mass = history->options->prune == HISTORY_PRUNE_MASS;
    const int64_t begin = messages[first].begin, tokens = messages[end].begin - begin;
    struct candidate *list = memory_allocate((size_t)tokens * sizeof *list + 1);
    uint8_t *drop = memory_allocate((size_t)tokens + 1);
    int64_t count = 0;
    for (int64_t m = first; m < end; m++)
        for (int64_t i = 0; i < messages[m].count; i++) {
            if (!may_go(history, &messages[m], i)) continue;
            const bool unread = by_mass && !messages[m].mass;
            const double key = by_mass && !unread ? messages[m].mass[i] : messages[m].rarity[i];
            list[count++] = (struct candidate){unread, key, messages[m].begin - begin + i};
        }
    qsort(list, (size_t)count, sizeof *list, candidate_compare);
    for (int64_t i = 0; i < excess && i < count; i++) drop[list[i].place] = 1;
    free(list);
    return drop;
}
