/* Dialogues and token lines as JSON Lines, read with line-numbered errors. */
#ifndef REGARD_DATA_DIALOGUE_H
#define REGARD_DATA_DIALOGUE_H

#include "src/base/status.h"
#include "src/text/role.h"

#include <stdbool.h>
#include <stdint.h>

struct message {
    enum dialogue_role role;
    char *content;
    char *name; /* of a user among several; NULL: none is said */
};

/* How a reply is held against the line: "verify" of a line, each by its name in lower case. */
enum verify_form {
    VERIFY_AUTO,     /* absent: slots where the line has them, exact where the answer is a number,
                      * else match */
    VERIFY_EXACT,    /* the number that the reply ends with is the answer (src/text/answer.h) */
    VERIFY_SLOTS,    /* the share of the message's slots that the reply names */
    VERIFY_MATCH,    /* the reply is the answer, but for case, spaces and final full stops */
    VERIFY_CONTAINS, /* the answer stands in the reply */
    VERIFY_FORMS
};

/* One line: messages that alternate and start with the user, a system message before them where
 * there is one (its content may be empty); or tokens; or a question with steps and answer, which
 * is read as two messages. */
struct dialogue {
    char *id; /* as JSON text: "\"a\"" or "7"; NULL when absent */
    struct message *messages;
    int64_t message_count;
    /* "given": so many messages from the first are what the dialogue begins with (worked examples):
     * no reply among them is generated, learned or measured.  See dialogue_start. */
    int64_t given;
    char *answer;  /* "answer", text or number, as text; NULL when absent */
    char **reject; /* "reject": texts that a right reply has not; NULL-terminated, or NULL */
    enum verify_form verify;
    /* A line of "question", "steps" and "answer": the question is the user's message, the steps and
     * "#### answer", a line each, are the assistant's.  NULL in other lines; steps is
     * NULL-terminated. */
    char *question, **steps;
    char *json; /* the whole line as it stands in its file, or as its set has it; NULL when it was
                 * not read by dataset_read */
    /* A token line; has_tokens tells.  reply_tokens may be absent (reply_count -1). */
    bool has_tokens;
    int32_t *history_tokens, *reply_tokens;
    uint8_t *salient; /* per history token; NULL when absent */
    uint8_t *visible; /* 0: the attention summary leaves the token out; NULL when absent */
    uint8_t *marker;  /* 1: a token that a marker or template wrote, or a special one; NULL when
                       * absent: `special` tells */
    uint8_t *speaker; /* a named user's words: the number of the name in speakers, from 1; else 0;
                       * NULL when absent */
    char **speakers;  /* names, NULL-terminated; NULL when absent */
    int32_t *special; /* ids that are special tokens; NULL when absent: the model's own */
    int32_t *cuts;    /* where histories share what was computed, or the turns that its first tokens
                       * stand for (struct encoded_history) */
    float *logp;      /* `update` lines: per reply token; NULL when absent */
    double advantage;
    bool has_advantage;
    int64_t history_count, reply_count, special_count, cut_count, turn;
    /* The slot values a gold reply must carry from earlier turns (synthetic corpus and the
     * slot carry-over metric): per message a NULL-terminated list, or NULL. */
    char ***slots;
    int64_t line; /* in its file, from 1 */
};

struct dataset {
    struct dialogue *dialogues;
    int64_t count;
    char path[1024];
};

enum dataset_need {
    DATASET_TRAIN,    /* dialogues that end in an assistant turn, at least one of them */
    DATASET_SCORE,    /* the same, or token lines with reply_tokens */
    DATASET_GENERATE, /* dialogues that end in a user turn, or token lines */
    DATASET_UPDATE    /* token lines with reply_tokens, logp, advantage */
};

/* path: a JSONL file, or the name of a set that is made (src/base/data_name.h). */
status dataset_read(const char *path, enum dataset_need need, struct dataset **out);
/* Frees the dialogues that are not to be kept: keep [count]. */
void dataset_keep(struct dataset *dataset, const bool *keep);
void dataset_free(struct dataset *dataset);
void dialogue_clear(struct dialogue *dialogue); /* frees what one holds */

/* Whether two users of a dialogue have names. */
bool dataset_has_speakers(const struct dataset *dataset);
/* control: permuted_names: in each dialogue the named users change names with each other, by a
 * permutation that Philox draws of seed and line, all alike (who keeps a name is left to chance).
 * Data in which no dialogue has two of them are an error. */
status dataset_permute_names(struct dataset *dataset, int64_t seed);

/* How many messages stand before the first reply that is the model's own: those that are given, and
 * on to the next of the user.  message_count where the user says nothing after the given ones. */
int64_t dialogue_start(const struct dialogue *dialogue);
int64_t dialogue_given_turns(const struct dialogue *dialogue); /* the user's messages before that,
                                                                * less the last one */
/* A field of the line, by its name in json: text as it is, a number, true or false as JSON has it.
 * *out NULL: the line has none, or null.  A list or an object is an error that names the line. */
status dialogue_field(const struct dialogue *dialogue, const char *name, char **out);

/* The index of the dialogue at a position of the endless prompt order: a permutation of
 * [0, count) an epoch, a pure function of (seed, epoch, index). */
int64_t prompt_order(int64_t seed, int64_t epoch, int64_t index, int64_t count);

#endif
