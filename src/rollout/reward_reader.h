/* A reward model that reads replies: for the source `model`, for eval.on_topic, and for score and
 * eval of a reward model's folder. */
#ifndef REGARD_ROLLOUT_REWARD_READER_H
#define REGARD_ROLLOUT_REWARD_READER_H

#include "src/model/value_model.h"
#include "src/rollout/language.h"
#include "src/source/source.h"
#include "src/task/reward_sequence.h"

struct reward_reader;

/* Owns model and language from then on, in an error too.  asker: the language of the model whose
 * tokens source_reply has; where tokenizer, markers or chat format, and system message are the
 * reward model's these tokens are read, else the texts, encoded anew (reward_reader_encode).  NULL:
 * always texts.  pass_tokens: at most in one pass, unless one sequence alone is longer. */
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
/* Memory for sequences of up to so many tokens, `sequences` at once: no pass has more from then on.
 */
status reward_reader_reserve(struct reward_reader *reader, int64_t sequences, int64_t longest);
/* values [count]: each depends on its sequence alone. */
status reward_reader_read(struct reward_reader *reader, const struct reward_sequence *sequences,
                          int64_t count, double *values);
/* A reply to a history, as whoever asks has it. */
struct reward_asked {
    const char *name;               /* of the dialogue, in errors */
    const struct message *messages; /* [message_count], the history as texts; none: tokens alone */
    int64_t message_count;
    const char *text; /* the reply */
    /* The asker's tokens, where it has some; NULL: it has not. */
    const int32_t *history, *tokens; /* [history_count], [count] */
    int64_t history_count, count;
    bool ended; /* by its last token; a reply that is cut off gets the end that training's have */
};
/* What the model reads of it, the history cut as it was in training.  Tokens are read as they are
 * where they are the model's own: the languages of asker and model agree (reward_reader_create), or
 * without an asker their tokens of the current prompt do; else texts are encoded.  A history that
 * the asker cut otherwise is encoded from its texts. *fits: whether the prompt is within the
 * model's history.max_tokens and all of it within its longest sequence; where it is not there is no
 * sequence, and with fits NULL an error. */
status reward_reader_encode(const struct reward_reader *reader, const struct reward_asked *asked,
                            bool *fits, struct reward_sequence *out);
/* Refuses a score that is no number. */
status reward_score_check(double score);
/* A source_read_function; context: the reader. */
status reward_reader_judge(void *context, const struct source_reply *replies, int64_t count,
                           double *values);

#endif
