/* Texts of replies for the sources that read them; see judge.h. */
#include "src/rollout/judge.h"

#include "src/base/memory.h"

#include <stdlib.h>
#include <string.h>

/* What is made for one reply and freed after. */
struct texts {
    char *whole, *pieces, **piece;
};

static void texts_free(struct texts *texts, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        free(texts[i].whole);
        free(texts[i].pieces);
        free(texts[i].piece);
    }
    free(texts);
}

/* Each token's text, a copy with a NUL behind each. */
static status pieces_make(const struct tokenizer *tokenizer, const struct reply *reply,
                          struct texts *texts)
{
    const size_t n = (size_t)reply->count + 1;
    int32_t *begin = memory_allocate(n * sizeof *begin), *end = memory_allocate(n * sizeof *end);
    char *text = NULL;
    size_t size = 0;
    status s =
        tokenizer_decode_ranges(tokenizer, reply->tokens, reply->count, &text, &size, begin, end);
    texts->piece = memory_allocate(n * sizeof *texts->piece);
    texts->pieces = memory_allocate(size + n);
    char *at = texts->pieces;
    for (int64_t i = 0; !s && i < reply->count; i++) {
        const size_t length = (size_t)(end[i] - begin[i]);
        texts->piece[i] = at;
        memcpy(at, text + begin[i], length);
        at += length + 1;
    }
    free(text);
    free(begin);
    free(end);
    return s;
}

static status texts_make(const struct tokenizer *tokenizer, unsigned needs,
                         const struct judged *judged, struct texts *texts)
{
    const struct reply *reply = judged->reply;
    if (!(needs & (SOURCE_NEEDS_TEXT | SOURCE_NEEDS_TOKEN_TEXT))) return NULL;
    if (!tokenizer)
        FAIL(STATUS_INPUT, "a source of reward.sources reads text, and the model folder holds no "
                           "tokenizer; set tokenizer.path");
    if (needs & SOURCE_NEEDS_TEXT)
        TRY(tokenizer_decode(tokenizer, reply->tokens, reply->count, true, &texts->whole));
    return needs & SOURCE_NEEDS_TOKEN_TEXT ? pieces_make(tokenizer, reply, texts) : NULL;
}

static struct source_reply view_of(const struct judged *judged, const struct texts *texts)
{
    const struct reply *reply = judged->reply, *read = judged->scored ? judged->scored : reply;
    return (struct source_reply){.key = judged->key,
                                 .line = judged->line,
                                 .message = judged->message,
                                 .messages = judged->messages,
                                 .message_count = judged->message_count,
                                 .text = texts->whole,
                                 .tokens = reply->tokens,
                                 .count = reply->count,
                                 .ended = reply->ended,
                                 .history = judged->prompt->tokens,
                                 .visible = judged->prompt->visible,
                                 .history_count = judged->prompt->count,
                                 .logp = read->logp,
                                 .token_entropy = read->token_entropy,
                                 .self_certainty = read->self_certainty,
                                 .statistics = &reply->statistics,
                                 .token_text = (const char *const *)texts->piece};
}

status replies_judge(struct source_set *set, const struct tokenizer *tokenizer,
                     const struct judged *judged, int64_t count, double (*terms)[TERM_MAX],
                     struct given_spans *cuts)
{
    if (!sources_count(set) || count < 1) return NULL;
    struct source_reply *views = memory_allocate((size_t)count * sizeof *views);
    struct texts *texts = memory_allocate((size_t)count * sizeof *texts);
    status s = NULL;
    for (int64_t i = 0; !s && i < count; i++) {
        s = texts_make(tokenizer, sources_needs(set), &judged[i], &texts[i]);
        views[i] = view_of(&judged[i], &texts[i]);
    }
    if (!s) s = sources_compute(set, views, count, terms, cuts);
    texts_free(texts, count);
    free(views);
    return s;
}
