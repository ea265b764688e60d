/* See own_history.h. */
#include "src/evaluate/own_history.h"

#include "src/base/memory.h"
#include "src/task/history_walk.h"

#include <stdlib.h>

/* One dialogue while it is answered. */
struct talk {
    struct history *history;
    int64_t next; /* the data's message that comes next */
    struct message *messages;
};

struct own_histories {
    struct talk *talks;
    int64_t talk_count;
    int64_t *talk_of, *round,
        *before; /* of a turn: its talk, which of its turns, messages before */
    int64_t count;
};

void own_histories_free(struct own_histories *own)
{
    if (!own) return;
    for (int64_t d = 0; d < own->talk_count; d++) {
        history_free(own->talks[d].history);
        free(own->talks[d].messages);
    }
    free(own->talks);
    free(own->talk_of);
    free(own->round);
    free(own->before);
    free(own);
}

static struct own_histories *own_histories_create(const struct language *language,
                                                  const struct own_turns *turns)
{
    struct own_histories *own = memory_allocate(sizeof *own);
    const size_t n = (size_t)turns->count;
    own->count = turns->count;
    own->talks = memory_allocate(n * sizeof *own->talks);
    own->talk_of = memory_allocate(n * sizeof *own->talk_of);
    own->round = memory_allocate(n * sizeof *own->round);
    own->before = memory_allocate(n * sizeof *own->before);
    for (int64_t i = 0; i < own->count; i++) {
        const bool same = i > 0 && turns->dialogue[i] == turns->dialogue[i - 1];
        if (!same)
            own->talks[own->talk_count++].history =
                history_begin(&language->history, turns->dialogue[i]);
        own->talk_of[i] = own->talk_count - 1;
        own->round[i] = same ? own->round[i - 1] + 1 : 0;
    }
    return own;
}

/* A turn's prompt: what the data say since the last reply comes into the history. */
static status prompt_make(const struct rollout_settings *settings, const struct own_turns *turns,
                          struct own_histories *own, int64_t i)
{
    struct talk *talk = &own->talks[own->talk_of[i]];
    for (; talk->next < turns->message[i]; talk->next++) {
        const struct message *message = &turns->dialogue[i]->messages[talk->next];
        TRY(history_add_said(talk->history, message->role, message->name, message->content));
    }
    own->before[i] = history_message_count(talk->history);
    prompt_free(&turns->prompts[i]);
    return prompt_from_history(talk->history, settings, &turns->prompts[i]);
}

/* Turns `list` [count], at most a batch, are answered; their replies come into the histories.  The
 * generator reads the histories of these alone, not of the turns between them. */
static status batch_answer(struct generator *generator, const struct rollout_settings *settings,
                           const struct own_turns *turns, struct own_histories *own,
                           const int64_t *list, int64_t count)
{
    struct reply_row *rows = memory_allocate((size_t)count * sizeof *rows);
    struct prompt *prompts = memory_allocate((size_t)count * sizeof *prompts); /* borrowed */
    struct reply *replies = memory_allocate((size_t)count * sizeof *replies);
    for (int64_t k = 0; k < count; k++) {
        prompts[k] = turns->prompts[list[k]];
        rows[k] = turns->rows[list[k]];
        rows[k].prompt = (int32_t)k;
    }
    status s =
        generate_replies(generator, settings, RANDOM_SAMPLING, prompts, rows, count, replies);
    for (int64_t k = 0; k < count; k++) turns->replies[list[k]] = replies[k];
    for (int64_t k = 0; !s && k < count; k++) {
        struct talk *talk = &own->talks[own->talk_of[list[k]]];
        if (replies[k].received) s = history_attend(talk->history, replies[k].received);
        if (!s)
            s = history_add_tokens(talk->history, ROLE_ASSISTANT, replies[k].tokens,
                                   replies[k].count, replies[k].ended);
        talk->next++;
    }
    free(replies);
    free(prompts);
    free(rows);
    return s;
}

/* The turns that are the round's of their dialogues; *left: there were some. */
static status round_answer(struct generator *generator, const struct rollout_settings *settings,
                           const struct own_turns *turns, struct own_histories *own, int64_t round,
                           bool (*stop)(void), bool *stopped, bool *left)
{
    int64_t *list = memory_allocate((size_t)turns->count * sizeof *list), count = 0;
    status s = NULL;
    for (int64_t i = 0; !s && i < turns->count; i++) {
        if (own->round[i] != round) continue;
        s = prompt_make(settings, turns, own, i);
        list[count++] = i;
    }
    for (int64_t at = 0; !s && at < count && !*stopped; at += settings->batch) {
        const int64_t rest = count - at;
        *stopped = stop && stop();
        if (!*stopped)
            s = batch_answer(generator, settings, turns, own, list + at,
                             rest < settings->batch ? rest : settings->batch);
    }
    *left = count > 0;
    free(list);
    return s;
}

status own_histories_answer(struct generator *generator, const struct rollout_settings *settings,
                            const struct language *language, const struct own_turns *turns,
                            bool (*stop)(void), bool *stopped, struct own_histories **out)
{
    struct own_histories *own = own_histories_create(language, turns);
    status s = NULL;
    bool left = true;
    for (int64_t round = 0; !s && left && !*stopped; round++)
        s = round_answer(generator, settings, turns, own, round, stop, stopped, &left);
    for (int64_t d = 0; !s && d < own->talk_count; d++)
        own->talks[d].messages = history_messages(own->talks[d].history);
    *out = own;
    return s;
}

const struct message *own_histories_messages(const struct own_histories *own, int64_t i,
                                             int64_t *count)
{
    *count = own->before[i];
    return own->talks[own->talk_of[i]].messages;
}
