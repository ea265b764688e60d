/* Histories with a marker before each message; see history.h. */
#include "src/base/memory.h"
#include "src/text/history.h"
#include "src/text/history_state.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* A user-defined symbol is one piece; elsewhere a marker is its text's tokens. */
static status marker_encode(const struct tokenizer *tokenizer, const char *marker,
                            struct token_list *out)
{
    const int32_t piece = tokenizer_piece(tokenizer, marker);
    if (piece < 0) return tokenizer_encode(tokenizer, marker, strlen(marker), out);
    token_list_add(out, piece, 0, (int32_t)strlen(marker));
    return NULL;
}

status markers_fit(const struct history_options *options, enum dialogue_role role, int64_t tokens,
                   bool *fits)
{
    struct token_list marker = {0};
    status s = marker_encode(options->tokenizer,
                             role == ROLE_USER ? options->user_marker : options->assistant_marker,
                             &marker);
    *fits = marker.count + tokens + 1 <= options->max_tokens;
    token_list_free(&marker);
    return s;
}

/* What is kept: messages from `first`, of that one the tokens from `skip`, of all before the last
 * those that `drop`, counted from the first's, does not mark (NULL: all). */
struct cut {
    int64_t first, skip, dropped, pruned, whole;
    uint8_t *drop;
};

/* history.prune: what is dropped of the messages before the last. */
static status find_pruned(const struct history *history, const struct token_list markers[2],
                          struct cut *cut)
{
    const int64_t last = history->count - 1;
    int64_t size = 1, possible = 0; /* size: the end token */
    *cut = (struct cut){0};
    for (int64_t i = 0; i <= last; i++) {
        const struct history_message *message = &history->messages[i];
        size += markers[message->role].count + message->count;
        if (i < last) possible += prune_possible(history, message);
    }
    while (cut->first < last && size - history->options->max_tokens > possible) {
        const struct history_message *message = &history->messages[cut->first++];
        const int64_t tokens = markers[message->role].count + message->count;
        size -= tokens;
        cut->dropped += tokens;
        possible -= prune_possible(history, message);
    }
    if (cut->first == last && size > history->options->max_tokens)
        return prompt_too_long(history, size);
    cut->whole = cut->first;
    if (size <= history->options->max_tokens) return NULL;
    cut->pruned = size - history->options->max_tokens;
    cut->dropped += cut->pruned;
    cut->drop = prune_choose(history, cut->first, last, cut->pruned);
    return NULL;
}

static status find_cut(const struct history *history, const struct token_list markers[2],
                       struct cut *cut)
{
    const struct history_options *options = history->options;
    const int64_t last = history->count - 1;
    int64_t room = options->max_tokens - 1; /* the end token */
    *cut = (struct cut){.first = last};
    for (int64_t i = last; i >= 0; i--) {
        const struct history_message *message = &history->messages[i];
        const int64_t marker = markers[message->role].count + message->named;
        const int64_t size = markers[message->role].count + message->count;
        if (i < last && options->prompt_only) break;
        if (size > room) {
            if (i == last) return prompt_too_long(history, size + 1);
            if (room > marker) {
                cut->first = i;
                cut->skip = size - room;
            }
            break;
        }
        room -= size;
        cut->first = i;
    }
    if (options->prompt_only) return NULL;
    for (int64_t i = 0; i < cut->first; i++)
        cut->dropped += markers[history->messages[i].role].count + history->messages[i].count;
    cut->dropped += cut->skip;
    return NULL;
}

/* Tokens [first, end) of a message go to the summary, behind its marker where that goes too. */
static void message_cut(struct history_writer *writer, const struct history_message *message,
                        const struct token_list *marker, int64_t first, int64_t end)
{
    for (int64_t m = 0; marker && m < marker->count; m++)
        history_cut(writer, message, marker->ids[m]);
    for (int64_t t = first; t < end; t++) history_cut(writer, message, message->ids[t]);
}

static void fill_encoded(const struct history *history, const struct token_list markers[2],
                         const struct cut *cut, struct encoded_history *out)
{
    const struct tokenizer *tokenizer = history->options->tokenizer;
    const struct history_message *last = &history->messages[history->count - 1];
    const int64_t begin = history->messages[cut->first].begin;
    const bool summary = history->options->slots > 0;
    struct history_writer writer = {.out = out};
    for (int64_t i = 0; summary && i < cut->first; i++)
        message_cut(&writer, &history->messages[i], &markers[history->messages[i].role], 0,
                    history->messages[i].count);
    const struct history_message *part = &history->messages[cut->first];
    if (summary) message_cut(&writer, part, NULL, part->named, part->named + cut->skip);
    for (int64_t i = cut->first; i < history->count; i++) {
        const struct history_message *message = &history->messages[i];
        const struct token_list *marker = &markers[message->role];
        writer.source = -1;
        for (int64_t m = 0; m < marker->count; m++)
            history_write(&writer, message, marker->ids[m], true, false, false);
        for (int64_t t = 0; t < message->count; t++) {
            const bool name = t < message->named;
            if (i == cut->first && !name && t < message->named + cut->skip) continue;
            writer.source = (int32_t)(message->begin + t);
            if (cut->drop && message != last && cut->drop[message->begin - begin + t]) {
                if (summary) history_cut(&writer, message, message->ids[t]);
                continue;
            }
            history_write(&writer, message, message->ids[t],
                          name || tokenizer_is_special(tokenizer, message->ids[t]),
                          message->salient[t], message == last && !name);
        }
    }
    writer.source = -1;
    history_write(&writer, last, tokenizer_end(tokenizer), true, false, false);
    if (summary) history_summarize(&writer, history->options);
    out->dropped = cut->dropped;
    out->pruned = cut->pruned;
    out->whole = cut->whole;
}

status markers_encode(const struct history *history, struct encoded_history *out)
{
    const struct history_options *options = history->options;
    struct token_list markers[2] = {{0}, {0}};
    struct cut cut = {0};
    status s = marker_encode(options->tokenizer, options->user_marker, &markers[ROLE_USER]);
    if (!s)
        s = marker_encode(options->tokenizer, options->assistant_marker, &markers[ROLE_ASSISTANT]);
    if (!s && options->prune && !options->prompt_only)
        s = find_pruned(history, markers, &cut);
    else if (!s)
        s = find_cut(history, markers, &cut);
    if (!s) fill_encoded(history, markers, &cut, out);
    free(cut.drop);
    token_list_free(&markers[ROLE_USER]);
    token_list_free(&markers[ROLE_ASSISTANT]);
    return s;
}
