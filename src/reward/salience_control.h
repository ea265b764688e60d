/* control random_salience (docs/reward.md, Controls): the null model of salience. */
#ifndef REGARD_REWARD_SALIENCE_CONTROL_H
#define REGARD_REWARD_SALIENCE_CONTROL_H

#include "src/base/status.h"

#include <stdint.h>

/* Replaces salient[count] (0/1) by as many positions drawn without replacement from
 * visible[count].  Philox key (seed, RANDOM_SALIENCE_CONTROL), counter (dialogue, turn, 0,
 * block of four draws): the same for all candidates, on any rank.  Marks outside V are dropped
 * before they are counted. */
status salience_randomize(int64_t seed, int64_t dialogue, int64_t turn, const uint8_t *visible,
                          uint8_t *salient, int64_t count);

#endif
