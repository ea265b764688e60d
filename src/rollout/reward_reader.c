#include "src/rollout/reward_reader.h"

#include "src/base/memory.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CUTS_RESERVED = 64 }; /* of a history */

struct reward_reader {
    struct value_model *model;
    struct language *language;
    bool same_words;     /* the asker's tokens are the model's own */
    bool same_cut;       /* and its histories are cut as the model's are */
    int32_t end;         /* of a reply; -1: no text is ever encoded */
    int64_t short_reply; /* tokens of one of a single letter, with its end */
    int64_t token_bytes; /* more than a token of the asker's has of text */
    int64_t longest, pass_tokens;
    int64_t together; /* most sequences of a pass; 0: any number */
};

static bool texts_equal(const char *a, const char *b)
{
    return !strcmp(a ? a : "", b ? b : "");
}

/* Whether both write a dialogue that they do not cut alike. */
static bool formats_agree(const struct history_options *a, const struct history_options *b)
{
    if (a->chat != b->chat || a->slots != b->slots) return false;
    if (a->chat) return texts_equal(a->system, b->system);
    return texts_equal(a->user_marker, b->user_marker) &&
           texts_equal(a->assistant_marker, b->assistant_marker);
}

static status languages_agree(const struct language *a, struct reward_reader *reader)
{
    const struct language *b = reader->language;
    if (!a || !a->tokenizer || !b->tokenizer || !formats_agree(&a->history, &b->history))
        return NULL;
    const struct history_options *x = &a->history, *y = &b->history;
    reader->same_cut = x->max_tokens == y->max_tokens && x->prompt_only == y->prompt_only &&
                       !x->prune && !y->prune;
    return tokenizer_same(a->tokenizer, b->tokenizer, &reader->same_words);
}

/* The last token of what is said as the assistant. */
static status end_find(struct reward_reader *reader)
{
    int32_t *ids;
    int64_t count;
    reader->end = -1;
    if (!reader->language->tokenizer) return NULL;
    TRY(reply_encode(&reader->language->history, ROLE_ASSISTANT, "x", &ids, &count));
    reader->end = ids[count - 1];
    reader->short_reply = count;
    free(ids);
    return NULL;
}

/* One byte more than the longest, for a blank that is left out where a text begins. */
static status token_bytes_of(const struct tokenizer *tokenizer, int64_t *out)
{
    *out = 1;
    for (int32_t id = 0; id < tokenizer_size(tokenizer); id++) {
        char *text;
        TRY(tokenizer_decode(tokenizer, &id, 1, false, &text));
        const int64_t bytes = (int64_t)strlen(text) + 1;
        if (bytes > *out) *out = bytes;
        free(text);
    }
    return NULL;
}

static status reader_open(struct reward_reader *reader, const struct language *asker)
{
    struct model *trunk = value_model_trunk(reader->model);
    TRY(language_fits(reader->language, model_shape(trunk)->vocabulary));
    TRY(language_ends(reader->language, trunk));
    TRY(end_find(reader));
    TRY(languages_agree(asker, reader));
    return reader->same_words || !asker || !asker->tokenizer
               ? NULL
               : token_bytes_of(asker->tokenizer, &reader->token_bytes);
}

status reward_reader_create(struct value_model *model, struct language *language,
                            const struct language *asker, int64_t pass_tokens,
                            struct reward_reader **out)
{
    struct reward_reader *reader = *out = memory_allocate(sizeof *reader);
    *reader = (struct reward_reader){
        .model = model,
        .language = language,
        .longest = model_shape_sequence_max(model_shape(value_model_trunk(model))),
        .pass_tokens = pass_tokens};
    status s = reader_open(reader, asker);
    if (s) {
        reward_reader_destroy(reader);
        *out = NULL;
    }
    return s;
}

void reward_reader_destroy(struct reward_reader *reader)
{
    if (!reader) return;
    value_model_destroy(reader->model);
    language_close(reader->language);
    free(reader);
}

struct value_model *reward_reader_model(struct reward_reader *reader)
{
    return reader->model;
}

const struct language *reward_reader_language(const struct reward_reader *reader)
{
    return reader->language;
}

int64_t reward_reader_longest(const struct reward_reader *reader)
{
    return reader->longest;
}

int64_t reward_reader_vocabulary(const struct reward_reader *reader)
{
    return model_shape(value_model_trunk(reader->model))->vocabulary;
}

int64_t reward_reader_sequence(const struct reward_reader *reader, int64_t history, int64_t reply)
{
    const int64_t own = reader->language->history.max_tokens;
    if (reader->same_words) return (reader->same_cut || history > own ? history : own) + reply + 1;
    return own + reply * reader->token_bytes + reader->short_reply;
}

status reward_reader_reserve(struct reward_reader *reader, int64_t sequences, int64_t longest)
{
    if (longest > reader->longest) longest = reader->longest;
    const int64_t pass = longest > reader->pass_tokens ? longest : reader->pass_tokens;
    const bool few = sequences < pass / longest;
    const struct model_limits limits = {.histories = sequences < pass ? sequences : pass,
                                        .history_tokens = few ? sequences * longest : pass,
                                        .longest_history = longest,
                                        .cuts = CUTS_RESERVED,
                                        .keep = MODEL_KEEP_NOTHING};
    reader->together = limits.histories;
    return value_model_reserve(reader->model, &limits);
}

/* Sequences side by side in one pass. */
static status pass_read(struct reward_reader *reader, const struct reward_sequence *sequences,
                        int64_t count, int64_t tokens, double *values)
{
    int64_t cuts = 0;
    for (int64_t i = 0; i < count; i++) cuts += sequences[i].cut_count;
    const size_t n = (size_t)count + 1;
    int32_t *begin = memory_allocate(n * sizeof *begin),
            *cut_begin = memory_allocate(n * sizeof *begin);
    int32_t *all = memory_allocate((size_t)tokens * sizeof *all + 4);
    int32_t *all_cuts = memory_allocate((size_t)cuts * sizeof *all_cuts + 4);
    float *host = memory_allocate(n * sizeof *host);
    for (int64_t i = 0; i < count; i++) {
        const struct reward_sequence *one = &sequences[i];
        memcpy(all + begin[i], one->tokens, (size_t)one->count * sizeof *all);
        if (one->cut_count)
            memcpy(all_cuts + cut_begin[i], one->cuts, (size_t)one->cut_count * sizeof *all_cuts);
        begin[i + 1] = begin[i] + (int32_t)one->count;
        cut_begin[i + 1] = cut_begin[i] + (int32_t)one->cut_count;
    }
    const struct model_batch batch = {.histories = count,
                                      .history_begin = begin,
                                      .history_tokens = all,
                                      .cut_begin = cut_begin,
                                      .cuts = all_cuts};
    status s = value_model_forward(reader->model, &batch, MODEL_KEEP_NOTHING, host);
    for (int64_t i = 0; !s && i < count; i++) values[i] = (double)host[i];
    free(begin);
    free(cut_begin);
    free(all);
    free(all_cuts);
    free(host);
    return s;
}

status reward_reader_read(struct reward_reader *reader, const struct reward_sequence *sequences,
                          int64_t count, double *values)
{
    for (int64_t at = 0, n; at < count; at += n) {
        n = 1;
        int64_t tokens = sequences[at].count;
        while (at + n < count && n != reader->together &&
               tokens + sequences[at + n].count <= reader->pass_tokens)
            tokens += sequences[at + n++].count;
        TRY(pass_read(reader, sequences + at, n, tokens, values + at));
    }
    return NULL;
}

/* The history in the model's words; *fits: its prompt does, else there is none. */
static status history_of(const struct reward_reader *reader, const struct reward_asked *asked,
                         bool *fits, struct encoded_history *out)
{
    struct history *history = history_create(&reader->language->history, asked->name);
    status s = NULL;
    for (int64_t i = 0; !s && i < asked->message_count; i++)
        s = history_add_said(history, asked->messages[i].role, asked->messages[i].name,
                             asked->messages[i].content);
    if (!s) s = history_fits(history, fits);
    if (!s && *fits) s = history_encode(history, out);
    history_free(history);
    return s;
}

static bool in_vocabulary(const struct reward_reader *reader, const int32_t *ids, int64_t count)
{
    const int64_t vocabulary = tokenizer_size(reader->language->tokenizer);
    for (int64_t i = 0; i < count; i++)
        if (ids[i] < 0 || ids[i] >= vocabulary) return false;
    return true;
}

/* Whether the asker's words are the model's: known, or (no asker) told by the current prompt, which
 * is never cut and has the same tokens from its first on. */
static bool words_are_own(const struct reward_reader *reader, const struct reward_asked *asked,
                          const struct encoded_history *history)
{
    int64_t first = 0;
    if (!asked->tokens || !in_vocabulary(reader, asked->history, asked->history_count) ||
        !in_vocabulary(reader, asked->tokens, asked->count))
        return false;
    if (reader->same_words) return true;
    while (first < history->count && !history->prompt[first]) first++;
    const int64_t count = history->count - first;
    return count <= asked->history_count &&
           !memcmp(history->ids + first, asked->history + asked->history_count - count,
                   (size_t)count * sizeof *history->ids);
}

/* Whether the asker's tokens of the history say what the model's own say, cut alike: a generated
 * reply in it need not have the tokens that its text is encoded to. */
static status history_is_own(const struct reward_reader *reader, const struct reward_asked *asked,
                             const struct encoded_history *history, bool *own)
{
    const struct tokenizer *tokenizer = reader->language->tokenizer;
    char *theirs, *ours;
    TRY(tokenizer_decode(tokenizer, asked->history, asked->history_count, true, &theirs));
    status s = tokenizer_decode(tokenizer, history->ids, history->count, true, &ours);
    *own = !s && !strcmp(theirs, ours);
    free(theirs);
    if (!s) free(ours);
    return s;
}

static status texts_sequence(const struct reward_reader *reader, const struct reward_asked *asked,
                             bool *fits, struct reward_sequence *out)
{
    struct encoded_history history = {0};
    int32_t *ids = NULL;
    int64_t count = 0;
    if (!reader->language->tokenizer)
        FAIL(STATUS_INPUT, "the reward model's folder holds no tokenizer to read texts with");
    bool whole = false; /* the asker's history is the model's own too */
    status s = history_of(reader, asked, fits, &history);
    const bool own = !s && *fits && words_are_own(reader, asked, &history);
    if (own) s = history_is_own(reader, asked, &history, &whole);
    if (!s && *fits && !own)
        s = reply_encode(&reader->language->history, ROLE_ASSISTANT, asked->text, &ids, &count);
    if (!s && *fits)
        reward_sequence_make(whole ? asked->history : history.ids,
                             whole ? asked->history_count : history.count, NULL, 0,
                             own ? asked->tokens : ids, own ? asked->count : count,
                             own && !asked->ended ? reader->end : -1, out);
    encoded_history_free(&history);
    free(ids);
    return s;
}

status reward_reader_encode(const struct reward_reader *reader, const struct reward_asked *asked,
                            bool *fits, struct reward_sequence *out)
{
    bool fit = true;
    *out = (struct reward_sequence){.count = 0};
    if (!asked->message_count || (asked->tokens && reader->same_words && reader->same_cut))
        reward_sequence_make(asked->history, asked->history_count, NULL, 0, asked->tokens,
                             asked->count, asked->ended ? -1 : reader->end, out);
    else
        TRY(texts_sequence(reader, asked, &fit, out));
    const int64_t count = out->count, longest = reader->longest;
    if (fits) *fits = fit && count <= longest;
    if (fit && count <= longest) return NULL;
    reward_sequence_free(out);
    *out = (struct reward_sequence){.count = 0};
    if (fits) return NULL;
    if (!fit)
        FAIL(STATUS_INPUT,
             "%s: the last message is longer than the %" PRId64
             " tokens that the reward model reads of a history (history.max_tokens of its "
             "training); shorten it, or train one with more",
             asked->name, reader->language->history.max_tokens);
    FAIL(STATUS_INPUT,
         "%s: history and reply have %" PRId64
         " tokens, the reward model's longest sequence %" PRId64,
         asked->name, count, longest);
}

status reward_score_check(double score)
{
    if (isfinite(score)) return NULL;
    FAIL(STATUS_INPUT,
         "the reward model's score is %s, no number: its weights are damaged, or too large", //
         isnan(score) ? "nan"
         : score > 0  ? "inf"
                      : "-inf");
}

static status sequence_of(const struct reward_reader *reader, const struct source_reply *reply,
                          struct reward_sequence *out)
{
    char name[96];
    snprintf(name, sizeof name, "dialogue %" PRId64 ", turn %d", reply->key.dialogue,
             reply->key.turn);
    if (!reader->same_words && !reply->message_count)
        FAIL(STATUS_INPUT,
             "the source model encodes texts with its own tokenizer, and a token line "
             "has none");
    const struct reward_asked asked = {.name = name,
                                       .messages = reply->messages,
                                       .message_count = reply->message_count,
                                       .text = reply->text,
                                       .history = reply->history,
                                       .history_count = reply->history_count,
                                       .tokens = reader->same_words ? reply->tokens : NULL,
                                       .count = reply->count,
                                       .ended = reply->ended};
    return status_context(reward_reader_encode(reader, &asked, NULL, out), "reward.model");
}

status reward_reader_judge(void *context, const struct source_reply *replies, int64_t count,
                           double *values)
{
    struct reward_reader *reader = context;
    struct reward_sequence *sequences = memory_allocate((size_t)(count + 1) * sizeof *sequences);
    status s = NULL;
    for (int64_t i = 0; !s && i < count; i++) s = sequence_of(reader, &replies[i], &sequences[i]);
    if (!s) s = reward_reader_read(reader, sequences, count, values);
    for (int64_t i = 0; i < count; i++) reward_sequence_free(&sequences[i]);
    free(sequences);
    return s;
}
