/* score and eval where --model is a reward model's folder. */
#ifndef REGARD_TOOLS_REWARD_MODEL_H
#define REGARD_TOOLS_REWARD_MODEL_H

#include "tools/regard/command.h"

/* Whether --model is one. */
status reward_model_named(const struct command *command, bool *out);
/* A JSON line a reply: the line's record, or of a dialogue one that is made, with "model". */
status reward_model_score(const struct command *command);
/* The held-out table as JSON; --samples: a line a pair. */
status reward_model_eval(const struct command *command);

#endif
