/* The one walk over a dialogue's messages: the history grows message by message, and the visitor
 * sees it before each of them.  Training examples, evaluation, scoring and generation are visitors.
 */
#ifndef REGARD_TASK_HISTORY_WALK_H
#define REGARD_TASK_HISTORY_WALK_H

#include "src/data/dialogue.h"
#include "src/text/history.h"

/* history holds the messages before `message`, which is an index into the dialogue's; at the end
 * it is message_count, and the history is the whole dialogue. */
typedef status message_visitor(void *context, const struct history *history,
                               const struct dialogue *dialogue, int64_t message);

/* An empty history of the dialogue, whose given turns it knows; errors name its line. */
struct history *history_begin(const struct history_options *options,
                              const struct dialogue *dialogue);
/* The dialogue's messages as text.  Errors name its line. */
status history_walk(const struct history_options *options, const struct dialogue *dialogue,
                    message_visitor *visit, void *context);

/* All that was said, as data have it; texts and names are the history's.  The caller frees it. */
struct message *history_messages(const struct history *history);

#endif
