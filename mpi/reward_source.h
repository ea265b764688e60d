/* The reward model of the source `model`, in the ranks that ask sources. */
#ifndef REGARD_MPI_REWARD_SOURCE_H
#define REGARD_MPI_REWARD_SOURCE_H

#include "src/base/config.h"
#include "src/rollout/reward_reader.h"

/* A reward model's folder with its own words.  asker: whose tokens it is to read, where they are
 * its own; or NULL. */
status reward_folder_open(const char *folder, const struct config *config, struct queue *queue,
                          const struct language *asker, struct reward_reader **out);
/* reward.model; *out NULL: there is none. */
status reward_source_open(const struct config *config, struct queue *queue,
                          const struct language *asker, struct reward_reader **out);
/* For the largest batch of replies, and of those that evaluations ask for at once. */
status reward_source_reserve(struct reward_reader *reader, const struct config *config,
                             bool evaluates);
/* For source_settings; reader may be NULL. */
struct source_model reward_source_of(struct reward_reader *reader);

#endif
