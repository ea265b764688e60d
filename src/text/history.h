/* A dialogue's history as the encoder's input tokens ("History as tokens" and "History limits"
 * in docs/reward.md): message by message the role's marker and what was said, each encoded by
 * itself, and one end token at the end. */
#ifndef REGARD_TEXT_HISTORY_H
#define REGARD_TEXT_HISTORY_H

#include "src/base/status.h"
#include "src/text/role.h"
#include "src/text/salience.h"
#include "src/text/tokenizer.h"

#include <stdbool.h>
#include <stdint.h>

/* Shared by all histories of a run and never changed while they live; owned by the caller. */
struct history_options {
    const struct tokenizer *tokenizer;
    const char *user_marker, *assistant_marker; /* text.user_marker, text.assistant_marker */
    int64_t max_tokens;                         /* history.max_tokens, the end token included */
    bool prompt_only;                           /* task: single_turn: H is the last message */
    struct salience_options salience;
};

struct history;

/* name: what errors call the dialogue ("dialogue 12", an id); copied. */
struct history *history_create(const struct history_options *options, const char *name);
void history_free(struct history *history);

/* Appends a message.  A user message opens a new turn (the first is turn 1). */
status history_add_text(struct history *history, enum dialogue_role role, const char *text);
/* A generated reply: the tokens that were sampled; a final end token is dropped, the rest is
 * kept as it is.  Words are those of the decoded tokens. */
status history_add_tokens(struct history *history, enum dialogue_role role, const int32_t *ids,
                          int64_t count);

int64_t history_turn(const struct history *history); /* turn of the last message, 0: none */
int64_t history_message_count(const struct history *history);
const char *history_message_text(const struct history *history, int64_t index);
enum dialogue_role history_message_role(const struct history *history, int64_t index);

/* The encoder's input; arrays of `count`. */
struct encoded_history {
    int32_t *ids;
    uint8_t *special; /* role markers, end and other special tokens: attention.exclude_special */
    uint8_t *salient;
    uint8_t *prompt; /* of the last message: x(t), its marker not included, nor the end token */
    uint8_t *role;   /* enum dialogue_role of its message (the end token: of the last) */
    int32_t *turn;   /* the turn a token belongs to, from 1 (the end token: the last turn) */
    int64_t count, dropped; /* dropped: tokens that history.max_tokens cut off */
    int64_t salient_count;
    int64_t last_turn; /* t of H(t) */
};
/* Cut to max_tokens: whole oldest messages go first, then the first tokens of the oldest that
 * fits only in part, which keeps its marker.  A current prompt that alone is too long is
 * an error naming the dialogue. */
status history_encode(const struct history *history, struct encoded_history *out);
void encoded_history_free(struct encoded_history *encoded);
/* Whether the last message, the current prompt, fits into max_tokens with its marker and the end
 * token: where it does not, history_encode is an error. */
status history_fits(const struct history *history, bool *fits);
/* The same of a text before it is in a history. */
status history_text_fits(const struct history_options *options, enum dialogue_role role,
                         const char *text, bool *fits);

/* Reply text to decoder targets: its tokens and the end token.  The caller frees *ids. */
status reply_encode(const struct tokenizer *tokenizer, const char *text, int32_t **ids,
                    int64_t *count);

#endif
