/* Whether replies belong to their dialogues, by a reward model that learned to tell (rm.objective:
 * on_topic): one that scores a reply at its threshold or above accepts it. */
#ifndef REGARD_EVALUATE_ON_TOPIC_H
#define REGARD_EVALUATE_ON_TOPIC_H

#include "src/data/dialogue.h"
#include "src/rollout/reward_reader.h"

struct on_topic;
/* Takes the reader over, in an error too.  name: of the folder, for errors. */
status on_topic_create(struct reward_reader *reader, const char *name, struct on_topic **out);
void on_topic_close(struct on_topic *judge); /* NULL is allowed */
const char *on_topic_name(const struct on_topic *judge);
/* All device memory at once. */
status on_topic_reserve(struct on_topic *judge);

/* A reply to the messages before it, as texts; the reward model reads them with its own words. */
struct on_topic_reply {
    const struct dialogue *dialogue; /* whose given turns are known, and which errors name */
    const struct message *messages;  /* [message_count] */
    int64_t message_count;
    const char *reply;
};
/* scores [count]; NaN where the prompt alone is longer than history.max_tokens, or all is longer
 * than the model's longest sequence. */
status on_topic_read(struct on_topic *judge, const struct on_topic_reply *replies, int64_t count,
                     double *scores);

/* The threshold is what tells most replies of the data from replies of other dialogues, of turns of
 * the first ON_TOPIC_DIALOGUES dialogues; of equally good ones the one nearest to 0, which is what
 * the model learned by. */
enum { ON_TOPIC_DIALOGUES = 200 };
struct on_topic_threshold {
    double value, accuracy; /* of what it was chosen on: a right reply as much as a wrong one */
    int64_t turns;
};
status on_topic_fix(struct on_topic *judge, const struct dataset *data, int64_t seed);
const struct on_topic_threshold *on_topic_threshold(const struct on_topic *judge);
/* The best threshold for scores of right and of wrong replies, [count] each; those that are NaN are
 * no part of it. */
struct on_topic_threshold on_topic_choose(const double *right, const double *wrong, int64_t count);

#endif
