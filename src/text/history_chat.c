/* Histories in a chat format; see history.h. */
#include "src/base/memory.h"
#include "src/text/history.h"
#include "src/text/history_state.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* What the template writes, as tokens. */
struct template_tokens {
    struct token_list begin, before[ROLE_COUNT], behind[ROLE_COUNT];
    int32_t end;
};

static void template_free(struct template_tokens *template)
{
    token_list_free(&template->begin);
    for (int role = 0; role < ROLE_COUNT; role++) {
        token_list_free(&template->before[role]);
        token_list_free(&template->behind[role]);
    }
}

/* template: zeroed; the caller frees it after an error too. */
static status template_encode(const struct history_options *options,
                              struct template_tokens *template)
{
    const struct chat_format *chat = options->chat;
    TRY(chat_end(chat, options->tokenizer, &template->end));
    /* Behind the token that begins a text, or that ended a reply. */
    const enum text_place before = *chat->begin ? PLACE_BEHIND_SPECIAL : PLACE_FIRST;
    TRY(chat_encode_template(options->tokenizer, chat->begin, PLACE_FIRST, &template->begin));
    for (int role = 0; role < ROLE_COUNT; role++) {
        const struct chat_turn *turn = &chat->turns[role];
        if (!turn->before) continue;
        const enum text_place behind =
            role == ROLE_ASSISTANT ? PLACE_BEHIND_SPECIAL : PLACE_BEHIND_TEXT;
        TRY(chat_encode_template(options->tokenizer, turn->before, before,
                                 &template->before[role]));
        TRY(chat_encode_template(options->tokenizer, turn->behind, behind,
                                 &template->behind[role]));
    }
    return NULL;
}

static enum dialogue_role other_side(enum dialogue_role role)
{
    return role == ROLE_USER ? ROLE_ASSISTANT : ROLE_USER;
}

/* A message with what surrounds it. */
static int64_t message_size(const struct template_tokens *template,
                            const struct history_message *message)
{
    const bool cut_off = message->role == ROLE_ASSISTANT && !message->ended;
    return template->before[message->role].count + message->count + cut_off +
           template->behind[message->role].count;
}

/* Whether the system message stands for the marker of the user's first one. */
static bool opens_user(const struct history *history)
{
    return history->has_system && history->options->chat->system_in_user;
}

/* What stands in every history, however short. */
static int64_t frame_size(const struct history *history, const struct template_tokens *template,
                          enum dialogue_role last)
{
    int64_t size = template->begin.count + template->before[other_side(last)].count;
    if (history->has_system) size += message_size(template, &history->system);
    if (opens_user(history)) size -= template->before[ROLE_USER].count;
    return size;
}

/* The first message of the last turn. */
static int64_t last_turn_first(const struct history *history)
{
    int64_t first = history->count - 1;
    while (first > 0 && history->messages[first].turn == history->messages[history->count - 1].turn)
        first--;
    return first + (history->messages[first].turn != history->messages[history->count - 1].turn);
}

/* The first message that is kept, how many tokens go and how many stay: whole turns, with
 * single_turn.context: prompt the last one. */
static void find_first(const struct history *history, const struct template_tokens *template,
                       int64_t *first, int64_t *dropped, int64_t *size)
{
    const struct history_options *options = history->options;
    const int64_t last = last_turn_first(history);
    *size = frame_size(history, template, history->messages[history->count - 1].role);
    *dropped = 0;
    for (int64_t i = last; i < history->count; i++)
        *size += message_size(template, &history->messages[i]);
    *first = last;
    if (options->prompt_only) return;
    for (int64_t i = last - 1, turn = 0; i >= 0; i--) {
        turn += message_size(template, &history->messages[i]);
        if (history->messages[i].role != ROLE_USER && i > 0) continue;
        if (*dropped || *size + turn > options->max_tokens) {
            *dropped += turn;
        } else {
            *size += turn;
            *first = i;
        }
        turn = 0;
    }
}

static void write_template(struct history_writer *writer, const struct history_message *message,
                           const struct token_list *tokens)
{
    for (int64_t i = 0; i < tokens->count; i++)
        history_write(writer, message, tokens->ids[i], true, false, false);
}

/* What was said, with the token that ends a reply; `last`: it is the current prompt. */
static void write_content(struct history_writer *writer, const struct history *history,
                          const struct history_message *message, bool last)
{
    for (int64_t i = 0; i < message->count; i++) {
        const bool end = message->ended && i == message->count - 1;
        const bool special =
            end || tokenizer_is_special(history->options->tokenizer, message->ids[i]);
        history_write(writer, message, message->ids[i], special, message->salient[i], last && !end);
    }
}

/* The cuts that the reply at [begin, end) of the history makes. */
static void add_cuts(struct encoded_history *out, int64_t begin, int64_t end)
{
    if (begin < 2 || end <= begin) return;
    out->cuts = memory_resize(out->cuts, (size_t)(out->cut_count + 2) * sizeof *out->cuts);
    out->cuts[out->cut_count++] = (int32_t)(begin - 1);
    out->cuts[out->cut_count++] = (int32_t)(end - 1);
}

static void write_all(const struct history *history, const struct template_tokens *template,
                      int64_t first, struct encoded_history *out)
{
    struct history_writer writer = {out, 0};
    const struct history_message *last = &history->messages[history->count - 1];
    const bool opened = opens_user(history);
    write_template(&writer, history->has_system ? &history->system : &history->messages[first],
                   &template->begin);
    if (history->has_system) {
        write_template(&writer, &history->system, &template->before[ROLE_SYSTEM]);
        write_content(&writer, history, &history->system, false);
        write_template(&writer, &history->system, &template->behind[ROLE_SYSTEM]);
    }
    for (int64_t i = first; i < history->count; i++) {
        const struct history_message *message = &history->messages[i];
        if (i > first || !opened)
            write_template(&writer, message, &template->before[message->role]);
        const int64_t begin = out->count;
        write_content(&writer, history, message, message == last);
        if (message->role == ROLE_ASSISTANT) {
            if (first == 0) add_cuts(out, begin, out->count);
            if (!message->ended) history_write(&writer, message, template->end, true, false, false);
        }
        write_template(&writer, message, &template->behind[message->role]);
    }
    write_template(&writer, last, &template->before[other_side(last->role)]);
    while (out->cut_count && out->cuts[out->cut_count - 1] >= out->count - 1) out->cut_count--;
}

status chat_history_encode(const struct history *history, struct encoded_history *out)
{
    struct template_tokens template = {.end = -1};
    status s = template_encode(history->options, &template);
    if (!s) {
        int64_t first, size;
        find_first(history, &template, &first, &out->dropped, &size);
        if (size > history->options->max_tokens)
            s = ERROR(STATUS_INPUT,
                      "%s: the current prompt alone has %" PRId64
                      " tokens, more than history.max_tokens %" PRId64
                      " allows; raise it or shorten the message",
                      history->name, size, history->options->max_tokens);
        else
            write_all(history, &template, first, out);
    }
    template_free(&template);
    return s;
}

status chat_history_fits(const struct history *history, bool *fits)
{
    struct template_tokens template = {.end = -1};
    status s = template_encode(history->options, &template);
    if (!s) {
        int64_t size = frame_size(history, &template, history->messages[history->count - 1].role);
        for (int64_t i = last_turn_first(history); i < history->count; i++)
            size += message_size(&template, &history->messages[i]);
        *fits = size <= history->options->max_tokens;
    }
    template_free(&template);
    return s;
}

status chat_history_text_fits(const struct history *history, enum dialogue_role role,
                              int64_t tokens, bool *fits)
{
    struct template_tokens template = {.end = -1};
    status s = template_encode(history->options, &template);
    const struct history_message message = {.role = role, .count = tokens};
    if (!s)
        *fits = frame_size(history, &template, role) + message_size(&template, &message) <=
                history->options->max_tokens;
    template_free(&template);
    return s;
}
