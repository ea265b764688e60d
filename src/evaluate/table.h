/* The table of held-out metrics: the reward (raw: reward.scale none, true salience whatever the
 * control), its terms, what is measured of the replies themselves, and what the settings ask for.
 */
#ifndef REGARD_EVALUATE_TABLE_H
#define REGARD_EVALUATE_TABLE_H

#include "src/evaluate/reasoning_metrics.h"
#include "src/evaluate/settings.h"

enum metric_group {
    GROUP_REWARD, /* the reward, then its terms */
    GROUP_REPLY,
    GROUP_REASONING, /* task: reasoning */
    GROUP_STATES,    /* eval.encoder */
    GROUP_ON_TOPIC,  /* eval.on_topic */
    GROUPS
};

/* GROUP_REPLY */
enum {
    EVAL_BLEU,
    EVAL_ROUGE_L,
    EVAL_DISTINCT_1,
    EVAL_DISTINCT_2,
    EVAL_SLOTS,
    EVAL_PERPLEXITY, /* of the gold replies, a token */
    EVAL_LENGTH,
    EVAL_END_RATE,
    EVAL_COUNT
};
/* GROUP_REASONING: those of enum reasoning_metric, and what the blocks say. */
enum {
    EVAL_ANSWER_MISSING = REASONING_METRICS,
    EVAL_REASONING_TOKENS, /* of a reply, before its answer's block */
    EVAL_REASONING_COUNT
};
/* GROUP_STATES; see state_metrics.h. */
enum {
    EVAL_COHERENCE,       /* (BLEU / 100 + BERTScore F1) / 2 */
    EVAL_COHERENCE_FLOOR, /* the same of other dialogues' gold replies in place of the model's */
    EVAL_BERT_SCORE,
    EVAL_BERT_SCORE_PRECISION,
    EVAL_BERT_SCORE_RECALL,
    EVAL_BERT_SCORE_FLOOR,
    EVAL_RELEVANCE,
    EVAL_RELEVANCE_RANDOM,
    EVAL_RELEVANCE_GOLD,
    EVAL_STATES_COUNT
};

/* GROUP_ON_TOPIC: the share of replies that the reward model accepts. */
enum {
    EVAL_CONSISTENCY,
    EVAL_CONSISTENCY_GOLD,   /* of the data's replies */
    EVAL_CONSISTENCY_RANDOM, /* of other dialogues' */
    EVAL_ON_TOPIC_ACCURACY,  /* of these two, which of them it takes for what they are */
    EVAL_ON_TOPIC_COUNT
};

/* Tables of other settings have the same names in other places. */
enum { EVALUATION_MAX = 64 };
int64_t evaluation_count(const struct evaluate_settings *settings); /* at most EVALUATION_MAX */
const char *evaluation_name(const struct evaluate_settings *settings, int64_t metric);
/* Where a group's metrics begin, and how many there are. */
int64_t evaluation_first(const struct evaluate_settings *settings, enum metric_group group);
int64_t evaluation_group_count(const struct evaluate_settings *settings, enum metric_group group);
/* The perplexity's name, whose parts are log-probabilities. */
bool evaluation_is_perplexity(const char *metric);

#endif
