/* Messages to history; see history_walk.h. */
#include "src/task/history_walk.h"

#include "src/base/memory.h"

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

struct message *history_messages(const struct history *history)
{
    const int64_t count = history_message_count(history);
    struct message *out = memory_allocate((size_t)count * sizeof *out + 1);
    for (int64_t m = 0; m < count; m++)
        out[m] = (struct message){history_message_role(history, m),
                                  (char *)history_message_text(history, m),
                                  (char *)history_message_name(history, m)};
    return out;
}
