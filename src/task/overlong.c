/* See overlong.h. */
#include "src/task/overlong.h"

#include "src/base/memory.h"

#include <stdio.h>
#include <stdlib.h>

/* `turns` of the user's messages, from the first that is not given. */
static status dialogue_fits(const struct history_options *options, const struct dialogue *dialogue,
                            int64_t turns, bool *fits)
{
    char name[64];
    snprintf(name, sizeof name, "line %lld", (long long)dialogue->line);
    struct history *history = history_create(options, name); /* its system message alone */
    int64_t given = dialogue_given_turns(dialogue);
    status s = NULL;
    *fits = true;
    for (int64_t m = 0; !s && m < dialogue->message_count && turns > 0 && *fits; m++) {
        const struct message *message = &dialogue->messages[m];
        if (message->role == ROLE_SYSTEM)
            s = history_add_text(history, ROLE_SYSTEM, message->content);
        if (message->role != ROLE_USER || given-- > 0) continue;
        turns--;
        s = history_said_fits(history, ROLE_USER, message->name, message->content, fits);
    }
    history_free(history);
    return s;
}

status dataset_drop_overlong(const struct history_options *options, struct dataset *data,
                             int64_t turns, struct overlong *out)
{
    *out = (struct overlong){0};
    bool *keep = memory_allocate((size_t)data->count * sizeof *keep + 1);
    status s = NULL;
    for (int64_t d = 0; !s && d < data->count; d++) {
        s = status_context(dialogue_fits(options, &data->dialogues[d], turns, &keep[d]), "%s",
                           data->path);
        if (!s && !keep[d] && !out->dialogues++) out->first_line = data->dialogues[d].line;
    }
    if (!s && data->count && out->dialogues == data->count)
        s = ERROR(STATUS_INPUT,
                  "%s: every dialogue has a message of the user longer than history.max_tokens "
                  "(%lld) allows; raise it or shorten the messages",
                  data->path, (long long)options->max_tokens);
    if (!s) dataset_keep(data, keep);
    free(keep);
    return s;
}
