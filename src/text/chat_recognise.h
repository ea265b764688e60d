/* Which chat format a model's own template writes. */
#ifndef REGARD_TEXT_CHAT_RECOGNISE_H
#define REGARD_TEXT_CHAT_RECOGNISE_H

#include "src/text/chat.h"

/* By what the template makes of a few dialogues: a format is recognised where it writes the same
 * text for each.  begin_token, end_token: the template's variables bos_token and eos_token.
 * *system: the system message that it puts into a dialogue without one, where that is not the
 * format's own, else NULL; the caller frees it.  A template that no format equals is an error that
 * names `where` and the key text.chat. */
status chat_recognise(const char *source, const char *begin_token, const char *end_token,
                      const char *where, const struct chat_format **out, char **system);
/* The same of the template in a model folder: chat_template.jinja, else tokenizer_config.json.
 * *out NULL: there is none. */
status chat_of_folder(const char *folder, const struct chat_format **out, char **system);

#endif
