/* The table of chat formats; see chat.h. */
#include "src/text/chat.h"

#include "src/base/memory.h"
#include "src/text/tokenizer_data.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ChatML's turns; each of its formats has its own system message where a dialogue has none. */
#define CHATML_TURNS                                                                               \
    {                                                                                              \
        [ROLE_SYSTEM] = {"<|im_start|>system\n", "", "<|im_end|>\n", false},                       \
        [ROLE_USER] = {"<|im_start|>user\n", "", "<|im_end|>\n", false}, [ROLE_ASSISTANT] = {      \
            "<|im_start|>assistant\n",                                                             \
            "",                                                                                    \
            "\n",                                                                                  \
            false                                                                                  \
        }                                                                                          \
    }

#define LLAMA3_HEADER(role) "<|start_header_id|>" role "<|end_header_id|>\n\n"
/* The date is the one that Llama 3.1's template holds, and 3.2's where it has no clock. */
#define LLAMA3_DATES "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n"
#define LLAMA3_TURNS(dates)                                                                        \
    {                                                                                              \
        [ROLE_SYSTEM] = {LLAMA3_HEADER("system") dates, "", "<|eot_id|>", true},                   \
        [ROLE_USER] = {LLAMA3_HEADER("user"), "", "<|eot_id|>", true}, [ROLE_ASSISTANT] = {        \
            LLAMA3_HEADER("assistant"),                                                            \
            "",                                                                                    \
            "",                                                                                    \
            true                                                                                   \
        }                                                                                          \
    }

static const struct chat_format formats[] = {
    {.name = "chatml", .begin = "", .turns = CHATML_TURNS, .end = "<|im_end|>"},
    {.name = "smollm2",
     .begin = "",
     .turns = CHATML_TURNS,
     .end = "<|im_end|>",
     .system = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"},
    {.name = "qwen2.5",
     .begin = "",
     .turns = CHATML_TURNS,
     .end = "<|im_end|>",
     .system = "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."},
    /* A reply keeps its thoughts in later histories, where the template would take them out. */
    {.name = "qwen3", .begin = "", .turns = CHATML_TURNS, .end = "<|im_end|>", .thinks = true},
    {.name = "llama3",
     .begin = "<|begin_of_text|>",
     .turns = LLAMA3_TURNS(""),
     .end = "<|eot_id|>"},
    {.name = "llama3.1",
     .begin = "<|begin_of_text|>",
     .turns = LLAMA3_TURNS(LLAMA3_DATES),
     .end = "<|eot_id|>",
     .system = ""},
    {.name = "mistral-v0.2",
     .begin = "<s>",
     .turns =
         {[ROLE_USER] = {"[INST]", " ", " [/INST]", false}, [ROLE_ASSISTANT] = {"", "", "", false}},
     .end = "</s>"},
    /* What the template became later: more spaces, and a system message in the first turn. */
    {.name = "mistral-v0.2-system",
     .begin = "<s>",
     .turns = {[ROLE_SYSTEM] = {" [INST]", " ", "\n\n", false},
               [ROLE_USER] = {" [INST]", " ", " [/INST]", false},
               [ROLE_ASSISTANT] = {"", " ", "", false}},
     .end = "</s>",
     .system_in_user = true},
    /* The system message stays with the first message of the user, where the template would move
     * it to the last one. */
    {.name = "mistral-v0.3",
     .begin = "<s>",
     .turns = {[ROLE_SYSTEM] = {"[INST]", " ", "\n\n", false},
               [ROLE_USER] = {"[INST]", " ", "[/INST]", false},
               [ROLE_ASSISTANT] = {"", " ", "", true}},
     .end = "</s>",
     .system_in_user = true},
    {.name = "mistral-nemo",
     .begin = "<s>",
     .turns = {[ROLE_SYSTEM] = {"[INST]", "", "\n\n", false},
               [ROLE_USER] = {"[INST]", "", "[/INST]", false},
               [ROLE_ASSISTANT] = {"", "", "", false}},
     .end = "</s>",
     .system_in_user = true},
    /* Roles by their names, for a model that came with no template. */
    {.name = "plain",
     .begin = "",
     .turns = {[ROLE_SYSTEM] = {"system:", " ", "\n", false},
               [ROLE_USER] = {"user:", " ", "\n", false},
               [ROLE_ASSISTANT] = {"assistant:", " ", "\n", false}}},
};
enum { FORMATS = sizeof formats / sizeof *formats };

const struct chat_format *chat_find(const char *name)
{
    for (int i = 0; i < FORMATS; i++)
        if (!strcmp(formats[i].name, name)) return &formats[i];
    return NULL;
}

const struct chat_format *chat_at(int index)
{
    return index < FORMATS ? &formats[index] : NULL;
}

void chat_names(char *out, size_t size)
{
    size_t at = 0;
    out[0] = 0;
    for (int i = 0; i < FORMATS && at < size; i++)
        at += (size_t)snprintf(out + at, size - at, "%s%s", i ? ", " : "", formats[i].name);
}

/* What is said, without the white space that the format drops: *size bytes at the pointer that is
 * returned. */
static const char *chat_content(const struct chat_turn *turn, const char *text, size_t *size)
{
    *size = strlen(text);
    if (!turn->trimmed) return text;
    const size_t skipped = space_at_start(text, *size);
    *size -= skipped;
    *size -= space_at_end(text + skipped, *size);
    return text + skipped;
}

static void append(struct text_buffer *out, const char *text)
{
    text_append(out, text, strlen(text));
}

static void append_message(const struct chat_format *format, enum dialogue_role role,
                           const char *text, bool opened, struct text_buffer *out)
{
    const struct chat_turn *turn = &format->turns[role];
    size_t size;
    const char *content = chat_content(turn, text, &size);
    if (!opened) {
        append(out, turn->before);
        append(out, turn->lead);
    }
    text_append(out, content, size);
    if (role == ROLE_ASSISTANT) append(out, format->end);
    append(out, turn->behind);
}

bool chat_text(const struct chat_format *format, const char *system,
               const struct chat_message *messages, int64_t count, bool prompt,
               struct text_buffer *out)
{
    if (!system) system = format->system;
    const bool own = count > 0 && messages[0].role == ROLE_SYSTEM;
    if (own) system = messages[0].content;
    if (system && !format->turns[ROLE_SYSTEM].before) return false;
    append(out, format->begin);
    if (system) append_message(format, ROLE_SYSTEM, system, false, out);
    for (int64_t i = own; i < count; i++)
        append_message(format, messages[i].role, messages[i].content,
                       system && format->system_in_user && i == own, out);
    if (prompt) append(out, format->turns[ROLE_ASSISTANT].before);
    return true;
}

status chat_end(const struct chat_format *format, const struct tokenizer *tokenizer, int32_t *end)
{
    *end = format->end ? tokenizer_piece(tokenizer, format->end) : tokenizer_end(tokenizer);
    if (*end < 0)
        FAIL(STATUS_INPUT,
             "the tokenizer has no token %s, which ends a reply in the chat format %s; choose "
             "another format with text.chat",
             format->end ? format->end : "that ends a text", format->name);
    return NULL;
}

status chat_encode_template(const struct tokenizer *tokenizer, const char *text,
                            enum text_place place, struct token_list *out)
{
    if (!*text) return NULL;
    return tokenizer_encode_part(tokenizer, text, strlen(text), false, place, out);
}

/* Where what `role` says stands: behind what the template writes before it, which is a special
 * token or text.  opened: behind a system message that opens the first one of the user. */
static status chat_content_place(const struct chat_format *format,
                                 const struct tokenizer *tokenizer, enum dialogue_role role,
                                 bool opened, enum text_place *out)
{
    const char *before = opened ? format->turns[ROLE_SYSTEM].behind : format->turns[role].before;
    if (!*before && role == ROLE_ASSISTANT) before = format->turns[ROLE_USER].behind;
    struct token_list tokens = {0};
    status s = chat_encode_template(tokenizer, before, PLACE_FIRST, &tokens);
    const bool special =
        tokens.count && tokenizer_is_special(tokenizer, tokens.ids[tokens.count - 1]);
    *out = !tokens.count ? PLACE_FIRST : special ? PLACE_BEHIND_SPECIAL : PLACE_BEHIND_TEXT;
    token_list_free(&tokens);
    return s;
}

status chat_encode_content(const struct chat_format *format, const struct tokenizer *tokenizer,
                           enum dialogue_role role, const char *text, bool opened, char **said,
                           struct token_list *out)
{
    const struct chat_turn *turn = &format->turns[role];
    size_t size;
    const char *content = chat_content(turn, text, &size);
    const size_t lead = opened ? 0 : strlen(turn->lead);
    *said = memory_allocate(lead + size + 1);
    memcpy(*said, turn->lead, lead);
    memcpy(*said + lead, content, size);
    enum text_place place;
    TRY(chat_content_place(format, tokenizer, role, opened, &place));
    return lead + size ? tokenizer_encode_part(tokenizer, *said, lead + size, true, place, out)
                       : NULL;
}
