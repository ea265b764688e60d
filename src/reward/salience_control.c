/* Random salience: the first |I| draws of a shuffle of V. */
#include "src/reward/salience_control.h"

#include "src/base/memory.h"
#include "src/base/philox.h"

#include <stdlib.h>
#include <string.h>

/* Fisher-Yates, stopped after `draws`: place i gets one of places [i, n), by the high half of
 * word * (n - i); its bias, below n / 2^32, is far under what any statistic here resolves. */
static void draw(uint32_t key, int64_t dialogue, int64_t turn, int64_t *places, int64_t n,
                 int64_t draws)
{
    const uint32_t keys[2] = {key, RANDOM_SALIENCE_CONTROL};
    uint32_t words[4] = {0};
    for (int64_t i = 0; i < draws; i++) {
        uint32_t counter[4] = {(uint32_t)dialogue, (uint32_t)turn, 0, (uint32_t)(i / 4)};
        if (i % 4 == 0) philox4x32(counter, keys, words);
        int64_t j = i + (int64_t)(((uint64_t)words[i % 4] * (uint64_t)(n - i)) >> 32);
        int64_t kept = places[i];
        places[i] = places[j];
        places[j] = kept;
    }
}

status salience_randomize(int64_t seed, int64_t dialogue, int64_t turn, const uint8_t *visible,
                          uint8_t *salient, int64_t count)
{
    if (count < 1) return NULL;
    int64_t *places = memory_allocate((size_t)count * sizeof *places);
    int64_t n = 0, draws = 0;
    for (int64_t i = 0; i < count; i++) {
        if (!visible[i]) continue;
        places[n++] = i;
        draws += salient[i] != 0;
    }
    draw((uint32_t)seed, dialogue, turn, places, n, draws);
    memset(salient, 0, (size_t)count);
    for (int64_t i = 0; i < draws; i++) salient[places[i]] = 1;
    free(places);
    return NULL;
}
