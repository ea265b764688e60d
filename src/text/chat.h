/* Chat formats: what stands between the messages of a dialogue, as the chat templates of published
 * models write it ("History as tokens" in docs/reward.md). */
#ifndef REGARD_TEXT_CHAT_H
#define REGARD_TEXT_CHAT_H

#include "src/base/status.h"
#include "src/text/role.h"
#include "src/text/token_list.h"
#include "src/text/tokenizer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What surrounds the messages of a role.  `before` and `behind` are the template's, special tokens
 * in them are special; `lead` is encoded together with what is said, and belongs to it. */
struct chat_turn {
    const char *before; /* NULL: the format has no such role */
    const char *lead;
    const char *behind;
    bool trimmed; /* white space at either end of what is said is dropped */
};

/* A row of the table of formats. */
struct chat_format {
    const char *name;
    const char *begin; /* of every history */
    /* The assistant's `before` is the generation prompt; its `behind` follows the end token. */
    struct chat_turn turns[ROLE_COUNT];
    const char *end;     /* the token that ends a reply; NULL: the tokenizer's end token */
    const char *system;  /* of a dialogue that has no system message; NULL: none is written */
    bool system_in_user; /* a system message opens the first message of the user */
    bool thinks;         /* the template gives the last reply an empty thought; histories do not */
};

/* A format by its name; NULL: there is none. */
const struct chat_format *chat_find(const char *name);
const struct chat_format *chat_at(int index); /* NULL behind the last */
/* The names of all, "chatml, smollm2, ...". */
void chat_names(char *out, size_t size);

/* Appends the text of a dialogue in a format whose end token is its own.  system: of one that has
 * none, NULL: the format's own.  `prompt`: up to the generation prompt.  False: the format has no
 * system message, and the dialogue has one. */
struct chat_message {
    enum dialogue_role role;
    const char *content;
};
bool chat_text(const struct chat_format *format, const char *system,
               const struct chat_message *messages, int64_t count, bool prompt,
               struct text_buffer *out);

/* The one id that ends a reply; an error where the tokenizer has no such token. */
status chat_end(const struct chat_format *format, const struct tokenizer *tokenizer, int32_t *end);
/* Appends a text of the template: special tokens are special. */
status chat_encode_template(const struct tokenizer *tokenizer, const char *text,
                            enum text_place place, struct token_list *out);
/* What is said behind its lead, as plain text: it may spell a special token, and stays text;
 * opened: without the lead.  The byte ranges are of *said, lead and text, which the caller frees.
 */
status chat_encode_content(const struct chat_format *format, const struct tokenizer *tokenizer,
                           enum dialogue_role role, const char *text, bool opened, char **said,
                           struct token_list *out);

#endif
