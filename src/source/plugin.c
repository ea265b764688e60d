/* Rewards by a shared object of the user's, reward.plugin: include/regard_reward.h is the contract,
 * which is installed with the program. */
#include "include/regard_reward.h"
#include "src/base/memory.h"
#include "src/source/source.h"
#include "src/text/unicode.h"

#include <ctype.h>
#include <dlfcn.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef int reward_function(const struct regard_reply *replies, int64_t count,
                            struct regard_answer *answers, char error[REGARD_ERROR_SIZE]);

struct plugin {
    char *path;
    void *library;
    reward_function *reward;
};

static status symbol_find(const struct plugin *plugin, const char *name, void **symbol)
{
    *symbol = dlsym(plugin->library, name);
    if (*symbol) return NULL;
    FAIL(STATUS_INPUT,
         "reward.plugin %s defines no %s; it defines what regard_reward.h declares, and C++ within "
         "extern \"C\"",
         plugin->path, name);
}

static status plugin_load(struct plugin *plugin)
{
    char path[PATH_MAX]; /* a name without a slash would be looked for elsewhere */
    void *version, *reward;
    if (!realpath(plugin->path, path))
        FAIL(STATUS_INPUT, "reward.plugin: no file %s", plugin->path);
    plugin->library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!plugin->library) FAIL(STATUS_INPUT, "reward.plugin: %s", dlerror());
    TRY(symbol_find(plugin, "regard_reward_version", &version));
    TRY(symbol_find(plugin, "regard_reward", &reward));
    const int32_t is = *(const int32_t *)version;
    if (is != REGARD_REWARD_VERSION)
        FAIL(STATUS_INPUT,
             "reward.plugin %s was built with version %d of regard_reward.h, this program has %d; "
             "build it again with this program's header",
             plugin->path, is, REGARD_REWARD_VERSION);
    memcpy(&plugin->reward, &reward,
           sizeof reward); /* C has no cast from an object to a function */
    return NULL;
}

static void plugin_close(void *state)
{
    struct plugin *plugin = state;
    if (plugin->library) dlclose(plugin->library);
    free(plugin->path);
    free(plugin);
}

static status plugin_open(const struct source_settings *settings, void **state)
{
    struct plugin *plugin = memory_allocate(sizeof *plugin);
    plugin->path = memory_text(settings->plugin);
    status s = plugin_load(plugin);
    if (s) plugin_close(plugin);
    *state = s ? NULL : plugin;
    return s;
}

/* The batch as the plugin sees it: one allocation each for messages and spans of all replies. */
struct view {
    struct regard_reply *replies;
    struct regard_answer *answers;
    struct regard_message *messages;
    int64_t message_count;
    char **repaired; /* [message_count] contents that are not UTF-8 as they stand; else NULL */
    struct regard_span *spans;
};

/* Generated text may hold what is no UTF-8: U+FFFD stands for it. */
static const char *content_of(const struct message *message, char **repaired)
{
    const size_t size = strlen(message->content);
    if (utf8_valid(message->content, size)) return message->content;
    struct text_buffer valid = {0};
    utf8_append_repaired(&valid, message->content, size);
    return *repaired = valid.data;
}

static void view_make(const struct source_reply *replies, int64_t count, struct view *view)
{
    int64_t messages = 0, tokens = 0;
    for (int64_t i = 0; i < count; i++) {
        messages += replies[i].message_count;
        tokens += replies[i].count;
    }
    view->replies = memory_allocate((size_t)count * sizeof *view->replies);
    view->answers = memory_allocate((size_t)count * sizeof *view->answers);
    view->messages = memory_allocate(((size_t)messages + 1) * sizeof *view->messages);
    view->message_count = messages;
    view->repaired = memory_allocate(((size_t)messages + 1) * sizeof *view->repaired);
    view->spans = memory_allocate(((size_t)tokens + 1) * sizeof *view->spans);
    messages = tokens = 0;
    for (int64_t i = 0; i < count; i++) {
        const struct source_reply *from = &replies[i];
        view->answers[i] = (struct regard_answer){.reward = NAN, .spans = view->spans + tokens};
        view->replies[i] = (struct regard_reply){
            .dialogue = from->key.dialogue,
            .turn = from->key.turn,
            .candidate = from->key.candidate,
            .messages = view->messages + messages,
            .message_count = from->message_count,
            .text = from->text,
            .line = from->line && from->line->json ? from->line->json : "null",
            .history = from->history,
            .history_count = from->history_count,
            .tokens = from->tokens,
            .token_texts = from->token_text,
            .logp = from->logp,
            .token_entropy = from->token_entropy,
            .self_certainty = from->self_certainty,
            .token_count = from->count,
            .ended = from->ended};
        for (int64_t m = 0; m < from->message_count; m++)
            view->messages[messages + m] = (struct regard_message){
                role_name(from->messages[m].role),
                content_of(&from->messages[m], &view->repaired[messages + m])};
        messages += from->message_count;
        tokens += from->count;
    }
}

static void view_free(struct view *view)
{
    for (int64_t m = 0; m < view->message_count; m++) free(view->repaired[m]);
    free(view->repaired);
    free(view->replies);
    free(view->answers);
    free(view->messages);
    free(view->spans);
}

/* Whether they cover the reply is src/source/source.c's to check. */
static status spans_take(const struct source_reply *reply, int64_t i,
                         const struct regard_answer *answer, struct source_spans *spans)
{
    if (answer->span_count < 0 || answer->span_count > reply->count)
        FAIL(STATUS_INPUT, "%lld spans of a reply of %lld tokens", (long long)answer->span_count,
             (long long)reply->count);
    for (int64_t k = 0; k < answer->span_count; k++) {
        const struct regard_span *span = &answer->spans[k];
        if (span->begin < 0 || span->end > reply->count || span->end <= span->begin)
            FAIL(STATUS_INPUT, "span %lld is [%lld, %lld) of a reply of %lld tokens", (long long)k,
                 (long long)span->begin, (long long)span->end, (long long)reply->count);
        source_spans_add(
            spans, (struct source_span){i, (int32_t)span->begin, (int32_t)span->end, span->value});
    }
    return NULL;
}

/* Names the plugin and the reply in what is wrong with its answer. */
static status answer_take(const struct plugin *plugin, const struct source_reply *reply, int64_t i,
                          const struct regard_answer *answer, double *values,
                          struct source_spans *spans)
{
    status s = NULL;
    if (answer->span_count)
        s = spans_take(reply, i, answer, spans);
    else if (!isfinite(answer->reward))
        s = ERROR(STATUS_INPUT,
                  "the reward is %g; regard_reward must give each reply of a call a number",
                  answer->reward);
    if (!answer->span_count) values[i] = answer->reward;
    return status_context(s, "reward.plugin %s: dialogue %lld, turn %d, candidate %d", plugin->path,
                          (long long)reply->key.dialogue, reply->key.turn, reply->key.candidate);
}

static void one_line(char error[REGARD_ERROR_SIZE])
{
    error[REGARD_ERROR_SIZE - 1] = 0;
    for (char *c = error; *c; c++)
        if (iscntrl((unsigned char)*c)) *c = ' ';
}

static status plugin_compute(void *state, const struct source_reply *replies, int64_t count,
                             double *values, struct source_spans *spans)
{
    const struct plugin *plugin = state;
    char error[REGARD_ERROR_SIZE] = "";
    struct view view;
    if (!count) return NULL;
    view_make(replies, count, &view);
    const int failed = plugin->reward(view.replies, count, view.answers, error);
    one_line(error);
    status s = NULL;
    if (failed)
        s = ERROR(
            STATUS_INPUT,
            "reward.plugin %s gave up with %d at %lld replies from dialogue %lld, turn %d on%s%s",
            plugin->path, failed, (long long)count, (long long)replies[0].key.dialogue,
            replies[0].key.turn, error[0] ? ": " : "", error);
    for (int64_t i = 0; !s && i < count; i++)
        s = answer_take(plugin, &replies[i], i, &view.answers[i], values, spans);
    view_free(&view);
    return s;
}

const struct source source_plugin = {.name = "plugin",
                                     .needs = SOURCE_NEEDS_TEXT | SOURCE_NEEDS_TOKEN_TEXT,
                                     .open = plugin_open,
                                     .compute = plugin_compute,
                                     .close = plugin_close};
