/* The messages of a dialogue as tokens, and the encoder's input made of them; see history.h. */
#include "src/text/history.h"

#include "src/base/memory.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct history_message {
    enum dialogue_role role;
    int32_t turn;
    char *text;
    int32_t *ids;
    uint8_t *salient;
    int64_t count;
};

struct history {
    const struct history_options *options;
    char *name;
    struct history_message *messages;
    int64_t count, capacity;
};

struct history *history_create(const struct history_options *options, const char *name)
{
    struct history *history = memory_allocate(sizeof *history);
    history->options = options;
    history->name = memory_text(name);
    return history;
}

static void *copy_memory(const void *from, size_t size)
{
    void *to = memory_allocate(size + 1);
    if (size > 0) memcpy(to, from, size);
    return to;
}

void history_free(struct history *history)
{
    if (!history) return;
    for (int64_t i = 0; i < history->count; i++) {
        free(history->messages[i].text);
        free(history->messages[i].ids);
        free(history->messages[i].salient);
    }
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
    int32_t turn = (int32_t)history_turn(history);
    if (role == ROLE_USER || turn == 0) turn++;
    struct history_message *message = &history->messages[history->count++];
    memset(message, 0, sizeof *message);
    message->role = role;
    message->turn = turn;
    return message;
}

/* Takes over text and the list's ids; marks salient tokens. */
static void fill_message(struct history *history, enum dialogue_role role, char *text, size_t size,
                         struct token_list *tokens)
{
    struct history_message *message = open_message(history, role);
    message->text = text;
    message->count = tokens->count;
    message->salient = memory_allocate((size_t)tokens->count + 1);
    salience_mark(&history->options->salience, text, size, tokens->begin, tokens->end,
                  tokens->count, message->salient);
    for (int64_t i = 0; i < tokens->count; i++)
        if (tokenizer_is_special(history->options->tokenizer, tokens->ids[i]))
            message->salient[i] = 0;
    message->ids = copy_memory(tokens->ids, (size_t)tokens->count * sizeof *tokens->ids);
    token_list_free(tokens);
}

status history_add_text(struct history *history, enum dialogue_role role, const char *text)
{
    struct token_list tokens = {0};
    const size_t size = strlen(text);
    status s = tokenizer_encode(history->options->tokenizer, text, size, &tokens);
    if (s) {
        token_list_free(&tokens);
        return status_context(s, "%s", history->name);
    }
    fill_message(history, role, memory_text(text), size, &tokens);
    return NULL;
}

status history_add_tokens(struct history *history, enum dialogue_role role, const int32_t *ids,
                          int64_t count)
{
    const struct tokenizer *tokenizer = history->options->tokenizer;
    struct token_list tokens = {0};
    char *text;
    size_t size;
    if (count > 0 && ids[count - 1] == tokenizer_end(tokenizer)) count--;
    for (int64_t i = 0; i < count; i++) token_list_add(&tokens, ids[i], 0, 0);
    status s =
        tokenizer_decode_ranges(tokenizer, ids, count, &text, &size, tokens.begin, tokens.end);
    if (s) {
        token_list_free(&tokens);
        return status_context(s, "%s", history->name);
    }
    fill_message(history, role, text, size, &tokens);
    return NULL;
}

int64_t history_turn(const struct history *history)
{
    return history->count > 0 ? history->messages[history->count - 1].turn : 0;
}

int64_t history_message_count(const struct history *history)
{
    return history->count;
}

const char *history_message_text(const struct history *history, int64_t index)
{
    return history->messages[index].text;
}

enum dialogue_role history_message_role(const struct history *history, int64_t index)
{
    return history->messages[index].role;
}

/* A user-defined symbol is one piece; elsewhere a marker is its text's tokens. */
static status marker_encode(const struct tokenizer *tokenizer, const char *marker,
                            struct token_list *out)
{
    const int32_t piece = tokenizer_piece(tokenizer, marker);
    if (piece < 0) return tokenizer_encode(tokenizer, marker, strlen(marker), out);
    token_list_add(out, piece, 0, (int32_t)strlen(marker));
    return NULL;
}

static status prompt_fits(const struct history_options *options, enum dialogue_role role,
                          int64_t tokens, bool *fits)
{
    struct token_list marker = {0};
    status s = marker_encode(options->tokenizer,
                             role == ROLE_USER ? options->user_marker : options->assistant_marker,
                             &marker);
    *fits = marker.count + tokens + 1 <= options->max_tokens;
    token_list_free(&marker);
    return s;
}

status history_fits(const struct history *history, bool *fits)
{
    const struct history_message *last = &history->messages[history->count - 1];
    return prompt_fits(history->options, last->role, last->count, fits);
}

static bool is_ascii(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if ((unsigned char)text[i] >= 0x80) return false;
    return true;
}

status history_text_fits(const struct history_options *options, enum dialogue_role role,
                         const char *text, bool *fits)
{
    const size_t size = strlen(text);
    /* A token of ASCII text takes at least one byte; one more may stand in front of it all. */
    if (is_ascii(text, size)) {
        TRY(prompt_fits(options, role, (int64_t)size + 1, fits));
        if (*fits) return NULL;
    }
    struct token_list tokens = {0};
    status s = tokenizer_encode(options->tokenizer, text, size, &tokens);
    if (!s) s = prompt_fits(options, role, tokens.count, fits);
    token_list_free(&tokens);
    return s;
}

/* What is kept: messages from `first`, of that one the tokens from `skip`. */
struct cut {
    int64_t first, skip, total, dropped;
};

static status find_cut(const struct history *history, const struct token_list markers[2],
                       struct cut *cut)
{
    const struct history_options *options = history->options;
    const int64_t last = history->count - 1;
    int64_t room = options->max_tokens - 1; /* the end token */
    *cut = (struct cut){.first = last, .total = 1};
    for (int64_t i = last; i >= 0; i--) {
        const struct history_message *message = &history->messages[i];
        const int64_t marker = markers[message->role].count;
        const int64_t size = marker + message->count;
        if (i < last && options->prompt_only) break;
        if (size > room) {
            if (i == last)
                FAIL(STATUS_INPUT,
                     "%s: the current prompt alone has %" PRId64
                     " tokens, more than history.max_tokens %" PRId64
                     " allows; raise it or shorten the message",
                     history->name, size + 1, options->max_tokens);
            if (room > marker) {
                cut->first = i;
                cut->skip = size - room;
                cut->total += room;
            }
            break;
        }
        room -= size;
        cut->first = i;
        cut->total += size;
    }
    if (options->prompt_only) return NULL;
    for (int64_t i = 0; i < cut->first; i++)
        cut->dropped += markers[history->messages[i].role].count + history->messages[i].count;
    cut->dropped += cut->skip;
    return NULL;
}

static void add_token(struct encoded_history *out, int32_t id, enum dialogue_role role,
                      int32_t turn, bool special, bool salient, bool prompt)
{
    out->ids[out->count] = id;
    out->role[out->count] = (uint8_t)role;
    out->turn[out->count] = turn;
    out->special[out->count] = special;
    out->salient[out->count] = salient;
    out->prompt[out->count++] = prompt;
    out->salient_count += salient;
}

static void fill_encoded(const struct history *history, const struct token_list markers[2],
                         const struct cut *cut, struct encoded_history *out)
{
    const struct tokenizer *tokenizer = history->options->tokenizer;
    const size_t total = (size_t)cut->total;
    out->ids = memory_allocate(total * sizeof *out->ids);
    out->role = memory_allocate(total);
    out->turn = memory_allocate(total * sizeof *out->turn);
    out->special = memory_allocate(total);
    out->salient = memory_allocate(total);
    out->prompt = memory_allocate(total);
    for (int64_t i = cut->first; i < history->count; i++) {
        const struct history_message *message = &history->messages[i];
        const struct token_list *marker = &markers[message->role];
        for (int64_t m = 0; m < marker->count; m++)
            add_token(out, marker->ids[m], message->role, message->turn, true, false, false);
        for (int64_t t = i == cut->first ? cut->skip : 0; t < message->count; t++)
            add_token(out, message->ids[t], message->role, message->turn,
                      tokenizer_is_special(tokenizer, message->ids[t]), message->salient[t],
                      i == history->count - 1);
    }
    add_token(out, tokenizer_end(tokenizer), history->messages[history->count - 1].role,
              (int32_t)history_turn(history), true, false, false);
    out->dropped = cut->dropped;
    out->last_turn = history_turn(history);
}

status history_encode(const struct history *history, struct encoded_history *out)
{
    const struct history_options *options = history->options;
    struct token_list markers[2] = {{0}, {0}};
    struct cut cut;
    memset(out, 0, sizeof *out);
    if (history->count == 0) FAIL(STATUS_INPUT, "%s: there is no message yet", history->name);
    status s = marker_encode(options->tokenizer, options->user_marker, &markers[ROLE_USER]);
    if (!s)
        s = marker_encode(options->tokenizer, options->assistant_marker, &markers[ROLE_ASSISTANT]);
    if (!s) s = find_cut(history, markers, &cut);
    if (!s) fill_encoded(history, markers, &cut, out);
    token_list_free(&markers[ROLE_USER]);
    token_list_free(&markers[ROLE_ASSISTANT]);
    return s;
}

void encoded_history_free(struct encoded_history *encoded)
{
    free(encoded->ids);
    free(encoded->role);
    free(encoded->turn);
    free(encoded->special);
    free(encoded->salient);
    free(encoded->prompt);
    memset(encoded, 0, sizeof *encoded);
}

status reply_encode(const struct tokenizer *tokenizer, const char *text, int32_t **ids,
                    int64_t *count)
{
    struct token_list tokens = {0};
    status s = tokenizer_encode(tokenizer, text, strlen(text), &tokens);
    if (!s) {
        token_list_add(&tokens, tokenizer_end(tokenizer), 0, 0);
        *ids = tokens.ids;
        *count = tokens.count;
        tokens.ids = NULL;
    }
    token_list_free(&tokens);
    return s;
}
