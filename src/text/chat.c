/* The table of chat formats; see chat.h. */
#include "src/text/chat.h"

#include "src/base/memory.h"
#include "src/text/tokenizer.h"
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
    {.name = "qwen3", .begin = "", .turns = CHATML_TURNS, .end = "<|im_end|>"},
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
    /* The system message stays with the first message of the user, where the template would move
     * it to the last one. */
    {.name = "mistral-v0.3",
     .begin = "<s>",
     .turns = {[ROLE_SYSTEM] = {"[INST]", " ", "\n\n", false},
               [ROLE_USER] = {"[INST]", " ", "[/INST]", false},
               [ROLE_ASSISTANT] = {"", " ", "", true}},
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

void chat_names(char *out, size_t size)
{
    size_t at = 0;
    out[0] = 0;
    for (int i = 0; i < FORMATS && at < size; i++)
        at += (size_t)snprintf(out + at, size - at, "%s%s", i ? ", " : "", formats[i].name);
}

const char *chat_content(const struct chat_turn *turn, const char *text, size_t *size)
{
    *size = strlen(text);
    if (!turn->trimmed) return text;
    const size_t skipped = space_at_start(text, *size);
    *size -= skipped;
    *size -= space_at_end(text + skipped, *size);
    return text + skipped;
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
                            struct token_list *out)
{
    return *text ? tokenizer_encode(tokenizer, text, strlen(text), out) : NULL;
}

status chat_encode_content(const struct chat_turn *turn, const struct tokenizer *tokenizer,
                           const char *text, bool with_lead, char **said, struct token_list *out)
{
    size_t size;
    const char *content = chat_content(turn, text, &size);
    const size_t lead = with_lead ? strlen(turn->lead) : 0;
    *said = memory_allocate(lead + size + 1);
    memcpy(*said, turn->lead, lead);
    memcpy(*said + lead, content, size);
    return lead + size ? tokenizer_encode_plain(tokenizer, *said, lead + size, out) : NULL;
}
