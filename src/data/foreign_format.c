/* See foreign_format.h. */
#include "src/data/foreign_format.h"

static const struct foreign_pair pairs[] = {
    {"prompt and completion", "prompt", NULL, "completion"},
    {"prompt and response", "prompt", NULL, "response"},
    {"instruction and output (Alpaca)", "instruction", "input", "output"},
    {"instruction and response (Dolly)", "instruction", "context", "response"},
    {"question and answer", "question", NULL, "answer"},
};

const struct foreign_pair *foreign_pair(const json_t *line)
{
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        if (json_object_get(line, pairs[i].prompt) && json_object_get(line, pairs[i].reply))
            return &pairs[i];
    return NULL;
}

const char *foreign_format(const json_t *line)
{
    if (!json_is_object(line) || json_object_get(line, "messages")) return NULL;
    if (json_is_array(json_object_get(line, "conversations"))) return "ShareGPT (conversations)";
    if (json_is_array(json_object_get(line, "conversation"))) return "ShareGPT (conversation)";
    const struct foreign_pair *pair = foreign_pair(line);
    return pair ? pair->format : NULL;
}
