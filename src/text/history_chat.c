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

/* The first message that is kept, how many tokens go and how many stay; of the messages before the
 * last turn the tokens go that `drop`, counted from the first's, marks (NULL: none). */
struct cut {
    int64_t first, dropped, size, pruned, whole;
    uint8_t *drop;
};

/* history.prune. */
static void find_pruned(const struct history *history, const struct template_tokens *template,
                        struct cut *cut)
{
    const int64_t last = last_turn_first(history), most = history->options->max_tokens;
    int64_t possible = 0;
    *cut = (struct cut){
        .size = frame_size(history, template, history->messages[history->count - 1].role)};
    for (int64_t i = 0; i < history->count; i++) {
        cut->size += message_size(template, &history->messages[i]);
        if (i < last) possible += prune_possible(history, &history->messages[i]);
    }
    while (cut->first < last && cut->size - most > possible) do {
            const struct history_message *message = &history->messages[cut->first++];
            const int64_t tokens = message_size(template, message);
            cut->size -= tokens;
            cut->dropped += tokens;
            possible -= prune_possible(history, message);
        } while (cut->first < last && history->messages[cut->first].role != ROLE_USER);
    cut->whole = cut->first;
    if (cut->size <= most || cut->first == last) return;
    cut->pruned = cut->size - most;
    cut->dropped += cut->pruned;
    cut->size = most;
    cut->drop = prune_choose(history, cut->first, last, cut->pruned);
}

/* Whole turns go; with single_turn.context: prompt the last one stays alone. */
static void find_first(const struct history *history, const struct template_tokens *template,
                       struct cut *cut)
{
    const struct history_options *options = history->options;
    const int64_t last = last_turn_first(history);
    *cut = (struct cut){
        .first = last,
        .size = frame_size(history, template, history->messages[history->count - 1].role)};
    for (int64_t i = last; i < history->count; i++)
        cut->size += message_size(template, &history->messages[i]);
    if (options->prompt_only) return;
    for (int64_t i = last - 1, turn = 0; i >= 0; i--) {
        turn += message_size(template, &history->messages[i]);
        if (history->messages[i].role != ROLE_USER && i > 0) continue;
        if (cut->dropped || cut->size + turn > options->max_tokens) {
            cut->dropped += turn;
        } else {
            cut->size += turn;
            cut->first = i;
        }
        turn = 0;
    }
}

static void write_template(struct history_writer *writer, const struct history_message *message,
                           const struct token_list *tokens)
{
    writer->source = -1;
    for (int64_t i = 0; i < tokens->count; i++)
        history_write(writer, message, tokens->ids[i], true, false, false);
}

/* What was said, with the token that ends a reply, without the tokens that `drop` (NULL: none)
 * marks; `last`: it is the current prompt. */
static void write_content(struct history_writer *writer, const struct history *history,
                          const struct history_message *message, const uint8_t *drop, bool last)
{
    for (int64_t i = 0; i < message->count; i++) {
        if (drop && drop[i]) continue;
        writer->source = message == &history->system ? -1 : (int32_t)(message->begin + i);
        const bool end = message->ended && i == message->count - 1;
        const bool name = i < message->named;
        const bool special =
            end || name || tokenizer_is_special(history->options->tokenizer, message->ids[i]);
        history_write(writer, message, message->ids[i], special, message->salient[i],
                      last && !end && !name);
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
                      const struct cut *cut, struct encoded_history *out)
{
    struct history_writer writer = {.out = out};
    const int64_t first = cut->first, pruned = last_turn_first(history);
    const bool whole = first == 0 && !cut->drop;
    const struct history_message *last = &history->messages[history->count - 1];
    const bool opened = opens_user(history);
    write_template(&writer, history->has_system ? &history->system : &history->messages[first],
                   &template->begin);
    if (history->has_system) {
        write_template(&writer, &history->system, &template->before[ROLE_SYSTEM]);
        write_content(&writer, history, &history->system, NULL, false);
        write_template(&writer, &history->system, &template->behind[ROLE_SYSTEM]);
    }
    for (int64_t i = first; i < history->count; i++) {
        const struct history_message *message = &history->messages[i];
        if (i > first || !opened)
            write_template(&writer, message, &template->before[message->role]);
        const int64_t begin = out->count;
        const uint8_t *drop = cut->drop && i < pruned
                                  ? cut->drop + message->begin - history->messages[first].begin
                                  : NULL;
        write_content(&writer, history, message, drop, message == last);
        if (message->role == ROLE_ASSISTANT) {
            if (whole) add_cuts(out, begin, out->count);
            writer.source = -1;
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
        struct cut cut;
        if (history->options->prune && !history->options->prompt_only)
            find_pruned(history, &template, &cut);
        else
            find_first(history, &template, &cut);
        if (cut.size > history->options->max_tokens)
            s = prompt_too_long(history, cut.size);
        else
            write_all(history, &template, &cut, out);
        out->dropped = cut.dropped;
        out->pruned = cut.pruned;
        out->whole = cut.whole;
        free(cut.drop);
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
