/* For each turn a random one of another dialogue: what metrics of replies are held against. */
#ifndef REGARD_EVALUATE_OTHERS_H
#define REGARD_EVALUATE_OTHERS_H

#include <stdint.h>

/* A turn of dialogue number `dialogue`; those of a dialogue lie side by side. */
struct turn_place {
    uint32_t dialogue, turn;
};

/* others [count]: for each turn one of another dialogue, by Philox of seed, dialogue and turn; -1
 * where there is none.  A dialogue is a line: the other's may be equal, or of the same id. */
void others_draw(const struct turn_place *turns, int64_t count, int64_t seed, int64_t *others);

#endif
