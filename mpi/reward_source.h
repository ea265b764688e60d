/* Opening reward models that are asked: a folder for any use, and reward.model of the source
 * `model` in the ranks that ask sources. */
#ifndef REGARD_MPI_REWARD_SOURCE_H
#define REGARD_MPI_REWARD_SOURCE_H

#include "src/base/config.h"
#include "src/rollout/reward_reader.h"

/* What a reward model is asked for. */
enum reward_use {
    REWARD_MEASURE, /* eval: as its objective has it */
    REWARD_SCORE,   /* score: of a reply */
    REWARD_JUDGE,   /* the same, of the source model */
    REWARD_ON_TOPIC /* eval.on_topic */
};
/* A reward model's folder, which reads as it was trained (reward_words.h).  A use that its
 * objective does not allow is an error; so are, in eval and score of its own folder, keys of
 * reading that differ from its own.  asker: whose tokens it is to read, where they are its own; or
 * NULL. objective: enum rm_objective; may be NULL. */
status reward_folder_open(const char *folder, enum reward_use use, const struct config *config,
                          struct queue *queue, const struct language *asker, int *objective,
                          struct reward_reader **out);
/* reward.model; *out NULL: there is none. */
status reward_source_open(const struct config *config, struct queue *queue,
                          const struct language *asker, struct reward_reader **out);
/* Leaves out of the data the dialogues of which one of the user's first `turns` messages is longer
 * than reward.model reads; on any rank, warn: says so. */
status reward_source_drop_overlong(const struct config *config, struct dataset *data, int64_t turns,
                                   bool warn);
/* For the largest batch of replies, and of those that evaluations ask for at once. */
status reward_source_reserve(struct reward_reader *reader, const struct config *config,
                             bool evaluates);
/* For source_settings; reader may be NULL. */
struct source_model reward_source_of(struct reward_reader *reader);

#endif
