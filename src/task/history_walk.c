/* Messages to history; see history_walk.h. */
#include "src/task/history_walk.h"

#include <stdio.h>

struct history *history_begin(const struct history_options *options,
                              const struct dialogue *dialogue)
{
    char name[64];
    snprintf(name, sizeof name, "line %lld", (long long)dialogue->line);
    struct history *history = history_create(options, name);
    history_give(history, dialogue_given_turns(dialogue));
    return history;
}

status history_walk(const struct history_options *options, const struct dialogue *dialogue,
                    message_visitor *visit, void *context)
{
    struct history *history = history_begin(options, dialogue);
    status s = visit(context, history, dialogue, 0);
    for (int64_t m = 0; !s && m < dialogue->message_count; m++) {
        const struct message *message = &dialogue->messages[m];
        s = history_add_said(history, message->role, message->name, message->content);
        if (!s) s = visit(context, history, dialogue, m + 1);
    }
    history_free(history);
    return s;
}
