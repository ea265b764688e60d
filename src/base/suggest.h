/* "Did you mean": the word most like one that nobody knows. */
#ifndef REGARD_BASE_SUGGEST_H
#define REGARD_BASE_SUGGEST_H

/* The nearest of the candidates offered so far; NULL while none is near. */
struct nearest {
    const char *word, *best;
    int distance; /* of best; before the first, the least distance that counts as far */
};
struct nearest nearest_begin(const char *word);
void nearest_offer(struct nearest *nearest, const char *candidate);

#endif
