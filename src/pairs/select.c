#include "src/pairs/select.h"

#include "src/base/memory.h"
#include "src/data/fields.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static bool takes_part(char *const *texts, int64_t i)
{
    if (text_is_blank(texts[i])) return false;
    for (int64_t j = 0; j < i; j++)
        if (!strcmp(texts[j], texts[i])) return false;
    return true;
}

struct gap {
    struct pair pair;
    double size;
};

static int gap_compare(const void *left, const void *right)
{
    const struct gap *a = left, *b = right;
    if (a->size != b->size) return a->size > b->size ? -1 : 1;
    if (a->pair.chosen != b->pair.chosen) return a->pair.chosen < b->pair.chosen ? -1 : 1;
    return (a->pair.rejected > b->pair.rejected) - (a->pair.rejected < b->pair.rejected);
}

int64_t pairs_of_scores(char *const *texts, const double *scores, int64_t count, double margin,
                        int64_t most, struct pair *out)
{
    int64_t *own = memory_allocate((size_t)count * sizeof *own + 1), kept = 0, gaps = 0;
    for (int64_t i = 0; i < count; i++)
        if (takes_part(texts, i)) own[kept++] = i;
    struct gap *list = memory_allocate((size_t)(kept * kept) * sizeof *list + 1);
    for (int64_t i = 0; i < kept; i++)
        for (int64_t j = 0; j < kept; j++) {
            const double size = scores[own[i]] - scores[own[j]];
            if (size > margin) list[gaps++] = (struct gap){{own[i], own[j]}, size};
        }
    qsort(list, (size_t)gaps, sizeof *list, gap_compare);
    if (gaps > most) gaps = most;
    for (int64_t i = 0; i < gaps; i++) out[i] = list[i].pair;
    free(list);
    free(own);
    return gaps;
}

int64_t pairs_of_gold(char *const *texts, const double *likeness, int64_t count, double margin,
                      int64_t most, struct pair *out)
{
    int64_t pairs = 0;
    for (int64_t i = 0; i < count && pairs < most; i++)
        if (1 - likeness[i] > margin && takes_part(texts, i))
            out[pairs++] = (struct pair){PAIR_GOLD, i};
    return pairs;
}
