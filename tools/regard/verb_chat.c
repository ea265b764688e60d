/* chat: a conversation with a model, line by line. */
#include "src/base/memory.h"
#include "src/base/progress.h"
#include "src/checkpoint/model_folder.h"
#include "src/text/history.h"
#include "tools/regard/command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char chat_formats[] = "A line of standard input is a user's message; the reply is printed "
                            "and belongs to the history of\n"
                            "the next. On a line of its own /again takes another reply to the last "
                            "message, /new forgets all\n"
                            "that was said, and /quit or the end of the input ends. "
                            "rollout.temperature=0 always takes the\n"
                            "likeliest token.\n";

struct chat {
    struct session *session;
    struct history *history; /* up to the last message of the user */
    struct reply reply;      /* to it, which the history has only when it goes on */
    bool replied;
    uint32_t messages, tries; /* what random numbers go by */
};

static void reply_forget(struct chat *chat)
{
    if (chat->replied) reply_free(&chat->reply);
    chat->replied = false;
}

static void chat_begin(struct chat *chat)
{
    reply_forget(chat);
    history_free(chat->history);
    chat->history = history_create(&chat->session->language->history, "chat");
}

static status reply_print(const struct chat *chat)
{
    char *text;
    TRY(tokenizer_decode(chat->session->language->tokenizer, chat->reply.tokens, chat->reply.count,
                         true, &text));
    printf("%s%s\n", text, chat->reply.ended ? "" : " ...");
    free(text);
    fflush(stdout);
    return NULL;
}

static status reply_make(struct chat *chat)
{
    struct session *session = chat->session;
    struct prompt prompt;
    reply_forget(chat);
    TRY(prompt_from_history(chat->history, &session->settings, &prompt));
    const struct reply_row row = {0, {chat->messages, (uint32_t)prompt.turn, chat->tries++}, 0};
    status s = generate_replies(session->generator, &session->settings, RANDOM_SAMPLING, &prompt,
                                &row, 1, &chat->reply);
    prompt_free(&prompt);
    chat->replied = !s;
    return s ? s : reply_print(chat);
}

static status message_take(struct chat *chat, const char *text)
{
    bool fits;
    if (chat->replied)
        TRY(history_add_tokens(chat->history, ROLE_ASSISTANT, chat->reply.tokens, chat->reply.count,
                               chat->reply.ended));
    reply_forget(chat);
    TRY(history_text_fits(chat->history, ROLE_USER, text, &fits));
    if (!fits) {
        fprintf(stderr, "regard: this message alone is longer than history.max_tokens (%lld)\n",
                (long long)chat->session->settings.max_history);
        return NULL;
    }
    TRY(history_add_text(chat->history, ROLE_USER, text));
    chat->messages++;
    chat->tries = 0;
    return reply_make(chat);
}

/* *end: nothing more is said. */
static status line_take(struct chat *chat, const char *line, bool *end)
{
    *end = !strcmp(line, "/quit");
    if (*end || !line[strspn(line, " \t")]) return NULL;
    if (!strcmp(line, "/new")) {
        chat_begin(chat);
        return NULL;
    }
    if (strcmp(line, "/again") != 0) return message_take(chat, line);
    if (chat->replied) return reply_make(chat);
    fprintf(stderr, "regard: /again: nothing was said yet\n");
    return NULL;
}

static status chat_run(struct session *session)
{
    struct chat chat = {.session = session};
    const bool person = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
    char *line = NULL;
    size_t room = 0;
    bool end = false;
    status s = NULL;
    progress_set(NULL, NULL); /* a person waits for the reply itself */
    chat_begin(&chat);
    while (!s && !end) {
        if (person) printf("> ");
        fflush(stdout);
        const ssize_t length = getline(&line, &room, stdin);
        if (length < 0) {
            if (person) printf("\n");
            break;
        }
        line[strcspn(line, "\r\n")] = 0;
        s = line_take(&chat, line, &end);
    }
    free(line);
    reply_forget(&chat);
    history_free(chat.history);
    return s;
}

status verb_chat(struct command *command)
{
    struct session session;
    TRY(model_folder_speaks(command->model));
    TRY(session_open(command, false, &session));
    status s = NULL;
    if (!session.language->tokenizer)
        s = ERROR(STATUS_INPUT, "%s holds no tokenizer; set tokenizer.path", command->model);
    else if (session.language->history.refused)
        s = ERROR(STATUS_INPUT, "%s", session.language->history.refused);
    if (!s) s = chat_run(&session);
    session_close(&session);
    return s;
}
