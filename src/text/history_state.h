/* What a history holds, for history.c and the files of its two forms. */
#ifndef REGARD_TEXT_HISTORY_STATE_H
#define REGARD_TEXT_HISTORY_STATE_H

#include "src/base/status.h"
#include "src/text/role.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct encoded_history;
struct history_options;
struct idf_table;

struct history_message {
    enum dialogue_role role;
    int32_t turn;
    char *text;
    int32_t *ids;
    uint8_t *salient;
    int64_t begin, count; /* begin: tokens of the messages before it */
    int64_t lead;    /* its first tokens, of the template's white space or a name: never pruned */
    int64_t named;   /* its first tokens that say who speaks: a marker */
    uint8_t speaker; /* who: 1 for history.speakers[0]; 0: nobody is named */
    double *rarity;  /* [count] idf of its words; NULL: nothing is pruned */
    double *mass;    /* [count] attention of the last reply; NULL: none has read it */
    bool ended;      /* chat formats: the last id is the token that ends a reply */
};

struct history {
    const struct history_options *options;
    char *name;
    struct history_message *messages; /* of the user and the assistant */
    int64_t count, capacity;
    /* The system message: the dialogue's own, or with a chat format the default one. */
    struct history_message system;
    bool has_system, own_system;
    int64_t given_turns;
    char *speakers[SPEAKERS_MAX]; /* by their first words; NULL behind the last */
};

/* Encoded histories while they grow. */
struct history_writer {
    struct encoded_history *out;
    int64_t capacity;
    int32_t source; /* of the token that is written next; -1: it is of no message's text */
    /* [cut_count] tokens that were cut (history_cut), and the turns they are of. */
    int32_t *cut, *cut_turn;
    int64_t cut_count, cut_capacity;
};
/* A token of a message. */
void history_write(struct history_writer *writer, const struct history_message *message, int32_t id,
                   bool special, bool salient, bool prompt);

/* history.summary: a token of a message that was cut, in the history's order; and when all are
 * there what is kept of them, `slots` turns and max_tokens tokens at most, the newest.  Frees the
 * list. */
void history_cut(struct history_writer *writer, const struct history_message *message, int32_t id);
void history_summarize(struct history_writer *writer, const struct history_options *options);

/* The error of a current prompt that alone makes `size` tokens. */
status prompt_too_long(const struct history *history, int64_t size);

/* The two forms of a history: with markers, and in a chat format. */
status markers_encode(const struct history *history, struct encoded_history *out);
status markers_fit(const struct history_options *options, enum dialogue_role role, int64_t tokens,
                   bool *fits);
status chat_history_encode(const struct history *history, struct encoded_history *out);
/* Whether the last turn fits, and so many tokens of a next message by `role`. */
status chat_history_fits(const struct history *history, bool *fits);
status chat_history_text_fits(const struct history *history, enum dialogue_role role,
                              int64_t tokens, bool *fits);

/* history.prune: which tokens of old turns go where a history is too long, and what their order is
 * by ("History limits" in docs/reward.md). */
/* rarity [count] of tokens with byte ranges [begin[i], end[i]) of text: the highest idf of the
 * words that hold any of its bytes, 0 where none does. */
void prune_rarity(const struct idf_table *idf, const char *text, size_t size, const int32_t *begin,
                  const int32_t *end, int64_t count, double *rarity);
/* How many of the message's tokens may go: all but special and salient ones, a template's white
 * space and what ended it. */
int64_t prune_possible(const struct history *history, const struct history_message *message);
/* Marks `excess` tokens of messages [first, end), which have so many that may go: the caller frees
 * [tokens of these messages]. */
uint8_t *prune_choose(const struct history *history, int64_t first, int64_t end, int64_t excess);

#endif
