/* Chat formats as templates, for model folders whose format was named by hand. */
#ifndef REGARD_TEXT_CHAT_WRITE_H
#define REGARD_TEXT_CHAT_WRITE_H

#include "src/text/chat.h"

/* A template (Jinja) that writes the format; system: of dialogues without a system message, NULL:
 * the format's own.  The caller frees it. */
char *chat_template_write(const struct chat_format *format, const char *system);

#endif
