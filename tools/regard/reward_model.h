/* score and eval where --model is a reward model's folder. */
#ifndef REGARD_TOOLS_REWARD_MODEL_H
#define REGARD_TOOLS_REWARD_MODEL_H

#include "src/checkpoint/model_folder.h"
#include "tools/regard/command.h"

/* A JSON line a reply: the line's record, or of a dialogue one that is made, with "model". */
status reward_model_score(const struct command *command);
/* The held-out table as JSON; --samples: a line a pair. */
status reward_model_eval(const struct command *command);

#endif
