/* A reward model that reads replies: of the source `model`, and of score and eval of a reward
 * model's folder. */
#ifndef REGARD_ROLLOUT_REWARD_READER_H
#define REGARD_ROLLOUT_REWARD_READER_H

#include "src/model/value_model.h"
#include "src/rollout/language.h"
#include "src/source/source.h"
#include "src/task/reward_sequence.h"

struct reward_reader;

/* Owns model and language from then on, in an error too.  asker: the language of the model whose
 * tokens source_reply has; where its tokens and its way to write a dialogue are the reward model's
 * they are read as they are, else the texts are encoded anew.  NULL: texts.  pass_tokens: of one
 * pass, or one sequence alone. */
status reward_reader_create(struct value_model *model, struct language *language,
                            const struct language *asker, int64_t pass_tokens,
                            struct reward_reader **out);
void reward_reader_destroy(struct reward_reader *reader);
struct value_model *reward_reader_model(struct reward_reader *reader);
const struct language *reward_reader_language(const struct reward_reader *reader);
/* The most tokens of a sequence: the model's longest, or any number. */
int64_t reward_reader_longest(const struct reward_reader *reader);
int64_t reward_reader_vocabulary(const struct reward_reader *reader);
/* The most tokens of a sequence of the asker's, by those of its history and reply; where texts are
 * encoded anew a byte may become a token. */
int64_t reward_reader_sequence(const struct reward_reader *reader, int64_t history, int64_t reply);
/* Memory for sequences of up to so many tokens, `sequences` at once. */
status reward_reader_reserve(struct reward_reader *reader, int64_t sequences, int64_t longest);
/* values [count]: each depends on its sequence alone. */
status reward_reader_read(struct reward_reader *reader, const struct reward_sequence *sequences,
                          int64_t count, double *values);
/* The sequence of a reply to messages [count], both as text. */
status reward_reader_encode(const struct reward_reader *reader, const struct message *messages,
                            int64_t count, const char *reply, struct reward_sequence *out);
/* A source_read_function; context: the reader.  A reply that was cut off gets the end token that
 * training's replies have. */
status reward_reader_judge(void *context, const struct source_reply *replies, int64_t count,
                           double *values);

#endif
