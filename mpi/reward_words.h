/* How a reward model reads: the keys that decide what it is given (history.max_tokens, markers,
 * ...), as the run that trained it had them, in its folder's value_head.json.  Whoever asks it
 * reads by these, not by keys of its own. */
#ifndef REGARD_MPI_REWARD_WORDS_H
#define REGARD_MPI_REWARD_WORDS_H

#include "src/base/config.h"

/* Writes value_head.json into a checkpoint that is being written. */
status reward_words_save(const struct config *config, const char *folder);
/* A configuration whose keys of reading, and rm.objective, are the folder's; the others are
 * defaults.  A folder that was written before value_head.json held them has them in state.h5. */
status reward_words_load(const char *folder, struct config *out);
/* Refuses a key that says something else than the folder's and than its default. */
status reward_words_compare(const struct config *own, const struct config *asked,
                            const char *folder);

#endif
