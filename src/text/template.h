/* Chat templates as model folders hold them, in the part of the language Jinja that they are
 * written in: enough to see what a template makes of a dialogue. */
#ifndef REGARD_TEXT_TEMPLATE_H
#define REGARD_TEXT_TEMPLATE_H

#include "src/base/json.h"
#include "src/base/status.h"

/* The text that the template makes, with the members of `context` as its variables; the caller
 * frees *out.  White space is trimmed as Transformers does (trim_blocks, lstrip_blocks), and the
 * clock stands at 26 Jul 2024.  An error is what the template raises, and where it uses what is not
 * known here: macros, other filters, blocks and methods. */
status template_render(const char *source, const json_t *context, char **out);

#endif
