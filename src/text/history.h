/* A dialogue's history as the model's input tokens ("History as tokens" and "History limits" in
 * docs/reward.md).  With markers: message by message the role's marker and what was said, each
 * encoded by itself, and one end token at the end.  In a chat format (chat.h): what its template
 * writes, up to the prompt for the next reply, so that a longer history begins with a shorter one
 * and the reply to it. */
#ifndef REGARD_TEXT_HISTORY_H
#define REGARD_TEXT_HISTORY_H

#include "src/base/status.h"
#include "src/text/chat.h"
#include "src/text/role.h"
#include "src/text/salience.h"
#include "src/text/tokenizer.h"

#include <stdbool.h>
#include <stdint.h>

/* Shared by all histories of a run and never changed while they live; owned by the caller. */
struct history_options {
    const struct tokenizer *tokenizer;
    const char *user_marker, *assistant_marker; /* text.user_marker, text.assistant_marker */
    const struct chat_format *chat;             /* NULL: markers */
    const char *system;  /* text.system, of dialogues without one; NULL: the chat format's own */
    const char *refused; /* why the model's chat template cannot be followed; NULL: it can */
    int64_t max_tokens;  /* history.max_tokens, the end token included */
    bool prompt_only;    /* single_turn.context: prompt: H is the last message */
    int prune;           /* enum history_prune; another than none needs salience.idf */
    int64_t slots;       /* history.summary_slots, 0 without history.summary: of so many turns, the
                          * newest, what was cut is kept beside the history; with markers alone */
    bool all_slots;      /* history.summary: learned: always so many slots; else one a turn kept */
    struct salience_options salience;
};

struct history;

/* name: what errors call the dialogue ("dialogue 12", an id); copied. */
struct history *history_create(const struct history_options *options, const char *name);
void history_free(struct history *history);

/* Appends a message.  A user message opens a new turn (the first is turn 1).  A system message
 * comes first of all, and is an error where the history has markers. */
status history_add_text(struct history *history, enum dialogue_role role, const char *text);
/* The same of a user with a name (NULL: none), which stands before what is said, "NAME: ", as a
 * marker does.  More than SPEAKERS_MAX names are an error. */
status history_add_said(struct history *history, enum dialogue_role role, const char *name,
                        const char *text);
/* A generated reply: the tokens that were sampled, kept as they are; `ended`: the last of them
 * ended it.  With markers a final end token is dropped; in a chat format it stays, and where there
 * is none the template's follows.  Words are those of the decoded tokens. */
status history_add_tokens(struct history *history, enum dialogue_role role, const int32_t *ids,
                          int64_t count, bool ended);

/* history.prune: mass: the attention that the reply to the present history paid to its tokens, mass
 * [count of history_encode].  Comes before the reply; nothing where masses are not asked for. */
status history_attend(struct history *history, const float *mass);

/* So many turns from the first are given (worked examples): they are history like any other, but
 * turn 1 is the one behind them. */
void history_give(struct history *history, int64_t turns);
/* Turn of the last message; 0: there is none, or it is of a given turn. */
int64_t history_turn(const struct history *history);
/* The messages that were added; a default system message is none of them. */
int64_t history_message_count(const struct history *history);
const char *history_message_text(const struct history *history, int64_t index);
enum dialogue_role history_message_role(const struct history *history, int64_t index);
const char *history_message_name(const struct history *history, int64_t index); /* or NULL */
/* The user who was named as number `speaker`, from 1; NULL: there are not so many. */
const char *history_speaker(const struct history *history, int speaker);

/* The model's input; arrays of `count`. */
struct encoded_history {
    int32_t *ids;
    uint8_t *special; /* markers, a template's tokens, end and other special tokens:
                         attention.exclude_special */
    uint8_t *salient;
    uint8_t *prompt;  /* of the last message: x(t), its marker not included, nor the end token */
    uint8_t *role;    /* enum dialogue_role of its message (the end token: of the last) */
    uint8_t *speaker; /* of a user's words: history_speaker's number; else 0 */
    int32_t *turn;    /* the turn a token belongs to, given ones counted, from 1 (the end token: the
                       * last turn) */
    int32_t *source;  /* its place among the tokens of all messages; -1: a marker's, a template's, a
                       * system message's or the end */
    int64_t count, dropped; /* dropped: tokens that history.max_tokens cut off */
    int64_t pruned;         /* of these, those that history.prune took out of messages that stay */
    int64_t whole; /* messages that went whole because pruning could not make room enough */
    int64_t salient_count;
    int64_t last_turn; /* t of H(t): history_turn */
    /* Offsets c, ascending, 0 < c < count - 1, at which the history falls into segments that
     * histories may share.  For each reply in it, whose tokens stand at [b, e], e the one that
     * ended it (of a reply that was cut off the last one): b - 1 and e.  So the segments
     * are an earlier history without its last token; that token and the reply without its last; and
     * so on: each is what answering that history computed as one piece.  None with markers, nor
     * where max_tokens cut the history: it shares nothing with those before it.
     * With slots: what was cut, as src/base/cut_turns.h has it, in place of offsets; the first
     * `slots` tokens are end tokens that stand for it, special, of the turns that they are of
     * (all_slots: the last of them those of the newest). */
    int32_t *cuts;
    int64_t cut_count, slots;
};
/* Cut to max_tokens.  Pruned, tokens of messages before the current prompt go, lowest idf first (or
 * least attention; those that no reply has read after these, by idf), the oldest of equals, never
 * markers, special or salient tokens; where that is too little, the oldest messages (in a chat
 * format turns) go whole until the rest can be pruned.  Else with markers whole oldest messages go
 * first, then the first tokens of the oldest that fits only in part, which keeps its marker.  In a
 * chat format whole oldest turns go; the system message stays.  A current prompt that alone is too
 * long is an error naming the dialogue. */
status history_encode(const struct history *history, struct encoded_history *out);
void encoded_history_free(struct encoded_history *encoded);
/* Whether the last message, the current prompt, fits into max_tokens with its marker and the end
 * token, or what its template writes: where it does not, history_encode is an error. */
status history_fits(const struct history *history, bool *fits);
/* The same of a text before it is in the history, which has its system message. */
status history_text_fits(struct history *history, enum dialogue_role role, const char *text,
                         bool *fits);
status history_said_fits(struct history *history, enum dialogue_role role, const char *name,
                         const char *text, bool *fits);

/* What `role` said as the model's targets: its tokens and the end token.  The caller frees *ids. */
status reply_encode(const struct history_options *options, enum dialogue_role role,
                    const char *text, int32_t **ids, int64_t *count);

#endif
