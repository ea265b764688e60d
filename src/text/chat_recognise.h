/* Which chat format a model's own template writes. */
#ifndef REGARD_TEXT_CHAT_RECOGNISE_H
#define REGARD_TEXT_CHAT_RECOGNISE_H

#include "src/text/chat.h"

/* The template in a model folder: chat_template.jinja, else tokenizer_config.json. */
struct chat_template {
    char *source; /* NULL: the folder has none */
    char *begin_token, *end_token;
    char path[1200]; /* where it stands */
};
status chat_template_read(const char *folder, struct chat_template *out);
void chat_template_free(struct chat_template *template);

/* By what the template makes of a few dialogues: a format is recognised where it writes the same
 * text for each.  *system: the system message that the template puts into a dialogue without one,
 * where that is not the format's own, else NULL; the caller frees it.  A template that no format
 * equals is an error that names its path and the key text.chat. */
status chat_recognise(const struct chat_template *template, const struct chat_format **out,
                      char **system);

#endif
