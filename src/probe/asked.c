/* See asked.h. */
#include "src/probe/asked.h"

#include "src/base/memory.h"
#include "src/reward/salience_control.h"
#include "src/task/history_walk.h"

#include <stdlib.h>
#include <string.h>

struct asking {
    const struct probe_settings *settings;
    const struct labelled *labelled;
    struct asked *out;
    int64_t limit, visiting; /* visiting: a line of the data */
};

/* Whether the history before `message` is one: of labelled replies all of the line, else what
 * stands before an assistant's message that is the model's to say. */
static bool is_asked(const struct asking *a, const struct dialogue *dialogue, int64_t message)
{
    if (a->labelled) return message == dialogue->message_count;
    return message < dialogue->message_count && message >= dialogue_start(dialogue) &&
           dialogue->messages[message].role == ROLE_ASSISTANT;
}

/* A message_visitor. */
static status turn_add(void *context, const struct history *history,
                       const struct dialogue *dialogue, int64_t message)
{
    struct asking *a = context;
    struct asked *out = a->out;
    if (out->count == a->limit || !is_asked(a, dialogue, message)) return NULL;
    bool fits;
    TRY(history_fits(history, &fits));
    if (!fits) {
        out->overlong++;
        return NULL;
    }
    const struct rollout_settings *sampling = &a->settings->sampling;
    const int64_t i = out->count++, d = a->visiting;
    struct prompt *prompt = &out->prompts[i], *random = &out->random[i];
    TRY(prompt_from_history(history, sampling, prompt));
    TRY(prompt_from_history(history, sampling, random));
    TRY(salience_randomize(sampling->seed, d, random->turn, random->visible + random->slots,
                           random->salient + random->slots, random->count - random->slots));
    out->line[i] = dialogue;
    out->message[i] = a->labelled ? -1 : message;
    out->dialogue[i] = a->labelled ? a->labelled->dialogue[d] : d;
    if (out->dialogue[i] >= out->dialogues) out->dialogues = out->dialogue[i] + 1;
    out->first[i + 1] =
        out->first[i] +
        (a->labelled ? a->labelled->first[d + 1] - a->labelled->first[d] : sampling->candidates);
    return NULL;
}

/* Whether the tokens that a reply was sampled as are this tokenizer's for its text. */
static status tokens_fit(const struct tokenizer *tokenizer, const struct labelled_reply *reply,
                         bool *fit)
{
    char *text;
    *fit = reply->tokens != NULL;
    for (int64_t t = 0; *fit && t < reply->count; t++)
        *fit = reply->tokens[t] >= 0 && reply->tokens[t] < tokenizer_size(tokenizer);
    if (!*fit) return NULL;
    TRY(tokenizer_decode(tokenizer, reply->tokens, reply->count, true, &text));
    *fit = !strcmp(text, reply->text);
    free(text);
    return NULL;
}

/* As it was sampled, where that is known; else its text's tokens and, where it ended, the end. */
static status given_make(const struct language *language, const struct labelled_reply *reply,
                         struct given_reply *out)
{
    int32_t *ids;
    bool fit;
    *out = (struct given_reply){.ended = reply->ended};
    TRY(tokens_fit(language->tokenizer, reply, &fit));
    if (fit) {
        ids = memory_allocate((size_t)reply->count * sizeof *ids + 4);
        if (reply->count) memcpy(ids, reply->tokens, (size_t)reply->count * sizeof *ids);
        out->count = reply->count;
    } else {
        TRY(reply_encode(&language->history, ROLE_ASSISTANT, reply->text, &ids, &out->count));
        if (!reply->ended) out->count--;
    }
    out->tokens = ids;
    return NULL;
}

static status replies_add(const struct language *language, const struct asking *a)
{
    struct asked *out = a->out;
    const struct labelled *labelled = a->labelled;
    const size_t n = (size_t)out->first[out->count] + 1;
    out->given = memory_allocate(n * sizeof *out->given);
    out->labelled = memory_allocate(n * sizeof *out->labelled);
    for (int64_t h = 0; h < out->count; h++) {
        const int64_t of = out->line[h] - labelled->histories.dialogues;
        for (int64_t i = out->first[h]; i < out->first[h + 1]; i++) {
            out->labelled[i] = &labelled->replies[labelled->first[of] + i - out->first[h]];
            TRY(given_make(language, out->labelled[i], &out->given[i]));
        }
    }
    return NULL;
}

status asked_make(const struct probe_settings *settings, const struct language *language,
                  const struct dataset *data, const struct labelled *labelled, struct asked *out)
{
    struct asking a = {.settings = settings, .labelled = labelled, .out = out};
    int64_t most = 0;
    *out = (struct asked){.count = 0};
    for (int64_t d = 0; d < data->count; d++) most += data->dialogues[d].message_count;
    a.limit = settings->histories > 0 && settings->histories < most ? settings->histories : most;
    const size_t n = (size_t)a.limit + 1;
    out->prompts = memory_allocate(n * sizeof *out->prompts);
    out->random = memory_allocate(n * sizeof *out->random);
    out->line = memory_allocate(n * sizeof *out->line);
    out->message = memory_allocate(n * sizeof *out->message);
    out->dialogue = memory_allocate(n * sizeof *out->dialogue);
    out->first = memory_allocate(n * sizeof *out->first);
    for (; a.visiting < data->count && out->count < a.limit; a.visiting++) {
        status s = history_walk(&language->history, &data->dialogues[a.visiting], turn_add, &a);
        if (s) return status_context(s, "%s", data->path);
    }
    if (labelled) out->left_out = data->count - a.visiting;
    if (out->count == 0)
        FAIL(STATUS_INPUT, "%s: no assistant turn to ask a model for%s", data->path,
             out->overlong ? ": every prompt exceeds history.max_tokens" : "");
    return labelled ? replies_add(language, &a) : NULL;
}

void asked_free(struct asked *asked)
{
    for (int64_t i = 0; i < asked->count; i++) {
        prompt_free(&asked->prompts[i]);
        prompt_free(&asked->random[i]);
    }
    for (int64_t i = 0; asked->given && i < asked->first[asked->count]; i++)
        free((void *)asked->given[i].tokens);
    free(asked->prompts);
    free(asked->random);
    free(asked->line);
    free(asked->message);
    free(asked->dialogue);
    free(asked->first);
    free(asked->given);
    free(asked->labelled);
    *asked = (struct asked){.count = 0};
}
