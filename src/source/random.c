/* random: 0 or 1, each with probability 1/2, by Philox of (dialogue, turn, candidate): a control
 * that says nothing of a reply. */
#include "src/source/source.h"

#include "src/base/memory.h"
#include "src/base/philox.h"

#include <stdlib.h>

static status open_seed(const struct source_settings *settings, void **state)
{
    uint32_t *seed = memory_allocate(sizeof *seed);
    *seed = (uint32_t)settings->seed;
    *state = seed;
    return NULL;
}

static status compute(void *state, const struct source_reply *replies, int64_t count,
                      double *values, struct source_spans *spans)
{
    const uint32_t key[2] = {*(const uint32_t *)state, RANDOM_SOURCE};
    (void)spans;
    for (int64_t i = 0; i < count; i++) {
        const struct turn_key *of = &replies[i].key;
        const uint32_t counter[4] = {(uint32_t)of->dialogue, (uint32_t)of->turn,
                                     (uint32_t)of->candidate, 0};
        uint32_t words[4];
        philox4x32(counter, key, words);
        values[i] = words[0] >> 31;
    }
    return NULL;
}

const struct source source_random = {
    .name = "random", .open = open_seed, .compute = compute, .close = free};
