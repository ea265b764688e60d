/* Distances of words; see suggest.h. */
#include "src/base/suggest.h"

#include <string.h>

enum { WORD_MAX = 128 };

/* How many letters are to be put in, taken out or exchanged (Levenshtein); names are short. */
static int edit_distance(const char *a, const char *b)
{
    int row[WORD_MAX + 1];
    const int length = (int)strlen(b);
    if (length > WORD_MAX) return WORD_MAX;
    for (int j = 0; j <= length; j++) row[j] = j;
    for (int i = 1; a[i - 1]; i++) {
        int corner = row[0];
        row[0] = i;
        for (int j = 1; j <= length; j++) {
            int best = corner + (a[i - 1] != b[j - 1]);
            if (row[j] + 1 < best) best = row[j] + 1;
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            corner = row[j];
            row[j] = best;
        }
    }
    return row[length];
}

struct nearest nearest_begin(const char *word)
{
    return (struct nearest){.word = word, .distance = (int)strlen(word) / 3 + 2};
}

void nearest_offer(struct nearest *nearest, const char *candidate)
{
    const int distance = edit_distance(nearest->word, candidate);
    if (distance >= nearest->distance) return;
    nearest->distance = distance;
    nearest->best = candidate;
}
