/* See others.h. */
#include "src/evaluate/others.h"

#include "src/base/philox.h"

/* A turn of another dialogue than that of the turns [first, last). */
static int64_t other_draw(const struct turn_place *turn, int64_t first, int64_t last, int64_t count,
                          int64_t seed)
{
    const int64_t others = count - (last - first);
    if (others == 0) return -1;
    const uint32_t counter[4] = {turn->dialogue, turn->turn, 0, 0};
    uint32_t key[2], word[4];
    philox_key((uint64_t)seed, RANDOM_EVALUATION, key);
    philox4x32(counter, key, word);
    const int64_t place = (int64_t)(((uint64_t)word[0] * (uint64_t)others) >> 32);
    return place < first ? place : place + (last - first);
}

void others_draw(const struct turn_place *turns, int64_t count, int64_t seed, int64_t *others)
{
    for (int64_t first = 0, last; first < count; first = last) {
        for (last = first; last < count && turns[last].dialogue == turns[first].dialogue;) last++;
        for (int64_t i = first; i < last; i++)
            others[i] = other_draw(&turns[i], first, last, count, seed);
    }
}
