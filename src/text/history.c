/* The messages of a dialogue as tokens, and the model's input made of them; see history.h. */
#include "src/text/history.h"

#include "src/base/choices.h"
#include "src/base/memory.h"
#include "src/text/history_state.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct history *history_create(const struct history_options *options, const char *name)
{
    struct history *history = memory_allocate(sizeof *history);
    history->options = options;
    history->name = memory_text(name);
    return history;
}

static void message_clear(struct history_message *message)
{
    free(message->text);
    free(message->ids);
    free(message->salient);
    free(message->rarity);
    free(message->mass);
}

void history_free(struct history *history)
{
    if (!history) return;
    for (int64_t i = 0; i < history->count; i++) message_clear(&history->messages[i]);
    message_clear(&history->system);
    for (int i = 0; i < SPEAKERS_MAX; i++) free(history->speakers[i]);
    free(history->messages);
    free(history->name);
    free(history);
}

static struct history_message *open_message(struct history *history, enum dialogue_role role)
{
    if (history->count == history->capacity) {
        history->capacity = 2 * history->capacity + 8;
        history->messages =
            memory_resize(history->messages, (size_t)history->capacity * sizeof *history->messages);
    }
    const struct history_message *before =
        history->count ? &history->messages[history->count - 1] : NULL;
    int32_t turn = before ? before->turn : 0;
    if (role == ROLE_USER || turn == 0) turn++;
    const int64_t begin = before ? before->begin + before->count : 0;
    struct history_message *message = &history->messages[history->count++];
    *message = (struct history_message){.role = role, .turn = turn, .begin = begin};
    return message;
}

/* Who speaks is no word of what is said: the tokens that lie in the first `front` bytes are a
 * marker, the others' ranges are of what comes behind. */
static void name_mark(struct history_message *message, struct token_list *tokens, size_t front)
{
    while (message->named < tokens->count && (size_t)tokens->end[message->named] <= front)
        message->named++;
    for (int64_t i = 0; i < tokens->count; i++) {
        const int32_t begin = tokens->begin[i] - (int32_t)front,
                      end = tokens->end[i] - (int32_t)front;
        tokens->begin[i] = begin > 0 ? begin : 0;
        tokens->end[i] = end > 0 ? end : 0;
    }
}

/* Takes over the list's ids, which stand for `said`; marks salient tokens.  front: bytes in front
 * of what a user with a name says. */
static void message_fill(const struct history *history, struct history_message *message,
                         const char *said, size_t size, size_t front, struct token_list *tokens)
{
    if (front) name_mark(message, tokens, front);
    said += front;
    size -= front;
    message->count = tokens->count;
    message->salient = memory_allocate((size_t)tokens->count + 1);
    salience_mark(&history->options->salience, said, size, tokens->begin, tokens->end,
                  tokens->count, message->salient);
    for (int64_t i = 0; i < tokens->count; i++)
        if (tokenizer_is_special(history->options->tokenizer, tokens->ids[i]))
            message->salient[i] = 0;
    if (history->options->prune) {
        message->rarity = memory_allocate(((size_t)tokens->count + 1) * sizeof *message->rarity);
        prune_rarity(history->options->salience.idf, said, size, tokens->begin, tokens->end,
                     tokens->count, message->rarity);
        const struct chat_format *chat = history->options->chat;
        const char *lead = chat ? chat->turns[message->role].lead : "";
        const size_t length = strncmp(said, lead, strlen(lead)) ? 0 : strlen(lead);
        message->lead = message->named;
        while (!front && message->lead < tokens->count &&
               (size_t)tokens->end[message->lead] <= length)
            message->lead++;
    }
    message->ids = tokens->ids;
    tokens->ids = NULL;
    token_list_free(tokens);
}

/* A text's tokens and the text that they stand for, which the caller frees. */
static status text_encode(const struct history_options *options, enum dialogue_role role,
                          const char *text, bool opened, char **said, struct token_list *out)
{
    if (options->chat)
        return chat_encode_content(options->chat, options->tokenizer, role, text, opened, said,
                                   out);
    *said = memory_text(text);
    return tokenizer_encode(options->tokenizer, text, strlen(text), out);
}

/* Whether a system message opens the message, the first one of the user. */
static bool is_opened(const struct history *history, enum dialogue_role role)
{
    return role == ROLE_USER && history->count == 0 && history->has_system &&
           history->options->chat->system_in_user;
}

static status message_read(struct history *history, enum dialogue_role role, const char *text,
                           struct token_list *tokens, char **said)
{
    *said = NULL;
    status s = text_encode(history->options, role, text, is_opened(history, role), said, tokens);
    if (!s) return NULL;
    token_list_free(tokens);
    free(*said);
    return status_context(s, "%s", history->name);
}

static status system_add(struct history *history, const char *text)
{
    const struct chat_format *chat = history->options->chat;
    struct token_list tokens = {0};
    char *said;
    if (history->has_system || history->count)
        FAIL(STATUS_INPUT, "%s: a system message stands before all others", history->name);
    if (!chat || !chat->turns[ROLE_SYSTEM].before)
        FAIL(STATUS_INPUT,
             "%s: a system message, which %s%s cannot show the model; regard import-data puts it "
             "before the user's words",
             history->name, chat ? "the chat format " : "a history with markers",
             chat ? chat->name : "");
    TRY(message_read(history, ROLE_SYSTEM, text, &tokens, &said));
    history->system =
        (struct history_message){.role = ROLE_SYSTEM, .turn = 1, .text = memory_text(text)};
    message_fill(history, &history->system, said, strlen(said), 0, &tokens);
    history->has_system = true;
    free(said);
    return NULL;
}

/* The system message of a dialogue that has none. */
static status system_default(struct history *history)
{
    const struct history_options *options = history->options;
    if (options->refused) FAIL(STATUS_INPUT, "%s: %s", history->name, options->refused);
    if (!options->chat || history->has_system || history->count) return NULL;
    const char *text = options->system ? options->system : options->chat->system;
    if (!text) return NULL;
    TRY(system_add(history, text));
    /* Nobody in the dialogue said it. */
    memset(history->system.salient, 0, (size_t)history->system.count);
    return NULL;
}

/* "NAME: text"; the caller frees it. */
static char *named_text(const char *name, const char *text)
{
    const size_t size = strlen(name) + strlen(text) + 3;
    char *whole = memory_allocate(size);
    snprintf(whole, size, "%s: %s", name, text);
    return whole;
}

/* *speaker: the number of a name. */
static status speaker_find(struct history *history, const char *name, uint8_t *speaker)
{
    int i = 0;
    while (i < SPEAKERS_MAX && history->speakers[i] && strcmp(history->speakers[i], name) != 0) i++;
    if (i == SPEAKERS_MAX)
        FAIL(STATUS_INPUT, "%s: more than %d users have names", history->name, SPEAKERS_MAX);
    if (!history->speakers[i]) history->speakers[i] = memory_text(name);
    *speaker = (uint8_t)(i + 1);
    return NULL;
}

/* What stands in `said` before the text of a user with a name: the template's white space and the
 * name. */
static size_t named_front(const struct history *history, enum dialogue_role role, const char *name,
                          const char *said)
{
    const char *lead = history->options->chat ? history->options->chat->turns[role].lead : "";
    return (strncmp(said, lead, strlen(lead)) ? 0 : strlen(lead)) + strlen(name) + strlen(": ");
}

status history_add_text(struct history *history, enum dialogue_role role, const char *text)
{
    return history_add_said(history, role, NULL, text);
}

status history_add_said(struct history *history, enum dialogue_role role, const char *name,
                        const char *text)
{
    struct token_list tokens = {0};
    uint8_t speaker = 0;
    char *said;
    int32_t end = -1;
    if (role == ROLE_SYSTEM && !history->options->refused) {
        TRY(system_add(history, text));
        history->own_system = true;
        return NULL;
    }
    TRY(system_default(history));
    const bool ended = history->options->chat && role == ROLE_ASSISTANT;
    if (ended) TRY(chat_end(history->options->chat, history->options->tokenizer, &end));
    if (name) TRY(speaker_find(history, name, &speaker));
    char *whole = name ? named_text(name, text) : memory_text(text);
    status s = message_read(history, role, whole, &tokens, &said);
    free(whole);
    if (s) return s;
    const size_t size = strlen(said);
    if (ended) token_list_add(&tokens, end, (int32_t)size, (int32_t)size);
    struct history_message *message = open_message(history, role);
    message->text = memory_text(text);
    message->ended = ended;
    message->speaker = speaker;
    message_fill(history, message, said, size, name ? named_front(history, role, name, said) : 0,
                 &tokens);
    free(said);
    return NULL;
}

status history_add_tokens(struct history *history, enum dialogue_role role, const int32_t *ids,
                          int64_t count, bool ended)
{
    const struct tokenizer *tokenizer = history->options->tokenizer;
    struct token_list tokens = {0};
    char *text;
    size_t size;
    TRY(system_default(history));
    if (history->options->chat)
        ended = ended && count > 0;
    else if (count > 0 && ids[count - 1] == tokenizer_end(tokenizer))
        count--;
    for (int64_t i = 0; i < count; i++) token_list_add(&tokens, ids[i], 0, 0);
    status s =
        tokenizer_decode_ranges(tokenizer, ids, count, &text, &size, tokens.begin, tokens.end);
    if (s) {
        token_list_free(&tokens);
        return status_context(s, "%s", history->name);
    }
    struct history_message *message = open_message(history, role);
    message->text = text;
    message->ended = history->options->chat && ended;
    message_fill(history, message, text, size, 0, &tokens);
    if (message->ended) message->salient[count - 1] = 0;
    return NULL;
}

status history_attend(struct history *history, const float *mass)
{
    struct encoded_history encoded;
    if (history->options->prune != HISTORY_PRUNE_MASS) return NULL;
    TRY(history_encode(history, &encoded));
    /* What the reply could not read got nothing. */
    for (int64_t m = 0; m < history->count; m++) {
        struct history_message *message = &history->messages[m];
        free(message->mass);
        message->mass = memory_allocate(((size_t)message->count + 1) * sizeof *message->mass);
    }
    int64_t m = 0; /* sources ascend */
    for (int64_t i = 0; i < encoded.count; i++) {
        if (encoded.source[i] < 0) continue;
        while (encoded.source[i] >= history->messages[m].begin + history->messages[m].count) m++;
        history->messages[m].mass[encoded.source[i] - history->messages[m].begin] = (double)mass[i];
    }
    encoded_history_free(&encoded);
    return NULL;
}

void history_give(struct history *history, int64_t turns)
{
    history->given_turns = turns;
}

int64_t history_turn(const struct history *history)
{
    const int64_t turn = history->count ? history->messages[history->count - 1].turn : 0;
    return turn > history->given_turns ? turn - history->given_turns : 0;
}

int64_t history_message_count(const struct history *history)
{
    return history->count + history->own_system;
}

static const struct history_message *message_at(const struct history *history, int64_t index)
{
    if (!history->own_system) return &history->messages[index];
    return index ? &history->messages[index - 1] : &history->system;
}

const char *history_message_text(const struct history *history, int64_t index)
{
    return message_at(history, index)->text;
}

enum dialogue_role history_message_role(const struct history *history, int64_t index)
{
    return message_at(history, index)->role;
}

const char *history_speaker(const struct history *history, int speaker)
{
    return speaker >= 1 && speaker <= SPEAKERS_MAX ? history->speakers[speaker - 1] : NULL;
}

const char *history_message_name(const struct history *history, int64_t index)
{
    return history_speaker(history, message_at(history, index)->speaker);
}

status prompt_too_long(const struct history *history, int64_t size)
{
    return ERROR(STATUS_INPUT,
                 "%s: the current prompt alone has %" PRId64
                 " tokens, more than history.max_tokens %" PRId64
                 " allows; raise it or shorten the message",
                 history->name, size, history->options->max_tokens);
}

static status size_fits(const struct history *history, enum dialogue_role role, int64_t tokens,
                        bool *fits)
{
    return history->options->chat ? chat_history_text_fits(history, role, tokens, fits)
                                  : markers_fit(history->options, role, tokens, fits);
}

status history_fits(const struct history *history, bool *fits)
{
    if (history->options->chat) return chat_history_fits(history, fits);
    const struct history_message *last = &history->messages[history->count - 1];
    return markers_fit(history->options, last->role, last->count, fits);
}

static bool is_ascii(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if ((unsigned char)text[i] >= 0x80) return false;
    return true;
}

status history_text_fits(struct history *history, enum dialogue_role role, const char *text,
                         bool *fits)
{
    TRY(system_default(history));
    const size_t size = strlen(text);
    /* A token of ASCII text takes at least one byte; one more may stand in front of it all. */
    if (is_ascii(text, size)) {
        const struct chat_format *chat = history->options->chat;
        const size_t lead = chat ? strlen(chat->turns[role].lead) : 0;
        TRY(size_fits(history, role, (int64_t)(size + lead) + 1, fits));
        if (*fits) return NULL;
    }
    struct token_list tokens = {0};
    char *said = NULL;
    status s = text_encode(history->options, role, text, false, &said, &tokens);
    if (!s) s = size_fits(history, role, tokens.count, fits);
    token_list_free(&tokens);
    free(said);
    return s;
}

status history_said_fits(struct history *history, enum dialogue_role role, const char *name,
                         const char *text, bool *fits)
{
    char *whole = name ? named_text(name, text) : memory_text(text);
    status s = history_text_fits(history, role, whole, fits);
    free(whole);
    return s;
}

void history_write(struct history_writer *writer, const struct history_message *message, int32_t id,
                   bool special, bool salient, bool prompt)
{
    struct encoded_history *out = writer->out;
    if (out->count == writer->capacity) {
        writer->capacity = 2 * writer->capacity + 256;
        const size_t n = (size_t)writer->capacity;
        out->ids = memory_resize(out->ids, n * sizeof *out->ids);
        out->turn = memory_resize(out->turn, n * sizeof *out->turn);
        out->role = memory_resize(out->role, n);
        out->speaker = memory_resize(out->speaker, n);
        out->special = memory_resize(out->special, n);
        out->salient = memory_resize(out->salient, n);
        out->prompt = memory_resize(out->prompt, n);
        out->source = memory_resize(out->source, n * sizeof *out->source);
    }
    out->ids[out->count] = id;
    out->role[out->count] = (uint8_t)message->role;
    out->speaker[out->count] = special ? 0 : message->speaker;
    out->turn[out->count] = message->turn;
    out->special[out->count] = special;
    out->source[out->count] = writer->source;
    out->salient[out->count] = salient;
    out->prompt[out->count++] = prompt;
    out->salient_count += salient;
}

status history_encode(const struct history *history, struct encoded_history *out)
{
    memset(out, 0, sizeof *out);
    if (history->count == 0) FAIL(STATUS_INPUT, "%s: there is no message yet", history->name);
    out->last_turn = history_turn(history);
    status s =
        history->options->chat ? chat_history_encode(history, out) : markers_encode(history, out);
    if (s) encoded_history_free(out);
    return s;
}

void encoded_history_free(struct encoded_history *encoded)
{
    free(encoded->ids);
    free(encoded->role);
    free(encoded->speaker);
    free(encoded->turn);
    free(encoded->special);
    free(encoded->salient);
    free(encoded->prompt);
    free(encoded->source);
    free(encoded->cuts);
    memset(encoded, 0, sizeof *encoded);
}

status reply_encode(const struct history_options *options, enum dialogue_role role,
                    const char *text, int32_t **ids, int64_t *count)
{
    struct token_list tokens = {0};
    char *said = NULL;
    int32_t end = tokenizer_end(options->tokenizer);
    if (options->refused) FAIL(STATUS_INPUT, "%s", options->refused);
    status s = options->chat ? chat_end(options->chat, options->tokenizer, &end) : NULL;
    if (!s) s = text_encode(options, role, text, false, &said, &tokens);
    if (!s) {
        token_list_add(&tokens, end, 0, 0);
        *ids = tokens.ids;
        *count = tokens.count;
        tokens.ids = NULL;
    }
    token_list_free(&tokens);
    free(said);
    return s;
}
