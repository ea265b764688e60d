#include "src/rollout/reward_reader.h"

#include "src/base/memory.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { CUTS_RESERVED = 64 }; /* of a history */

struct reward_reader {
    struct value_model *model;
    struct language *language;
    bool by_tokens;      /* the asker's are the model's own */
    int32_t end;         /* of a reply; -1: no text is ever encoded */
    int64_t short_reply; /* tokens of one of a single letter, with its end */
    int64_t token_bytes; /* more than a token of the asker's has of text */
    int64_t longest, pass_tokens;
};

/* Whether a dialogue of the one language has the same tokens in the other. */
static status languages_agree(const struct language *a, const struct language *b, bool *same)
{
    *same = false;
    if (!a || !a->tokenizer || !b->tokenizer || a->history.chat != b->history.chat ||
        a->history.slots != b->history.slots)
        return NULL;
    return tokenizer_same(a->tokenizer, b->tokenizer, same);
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
    TRY(languages_agree(asker, reader->language, &reader->by_tokens));
    return reader->by_tokens || !asker || !asker->tokenizer
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
    return reader->by_tokens ? history + reply + 1
                             : reader->language->history.max_tokens + reply * reader->token_bytes +
                                   reader->short_reply;
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
        int64_t tokens = sequences[at].count;
        for (n = 1; at + n < count && tokens + sequences[at + n].count <= reader->pass_tokens; n++)
            tokens += sequences[at + n].count;
        TRY(pass_read(reader, sequences + at, n, tokens, values + at));
    }
    return NULL;
}

static status history_of(const struct reward_reader *reader, const struct message *messages,
                         int64_t count, struct encoded_history *out)
{
    struct history *history = history_create(&reader->language->history, "the history");
    status s = NULL;
    for (int64_t i = 0; !s && i < count; i++)
        s = history_add_said(history, messages[i].role, messages[i].name, messages[i].content);
    if (!s) s = history_encode(history, out);
    history_free(history);
    return s;
}

status reward_reader_encode(const struct reward_reader *reader, const struct message *messages,
                            int64_t count, const char *reply, struct reward_sequence *out)
{
    struct encoded_history history;
    int32_t *ids = NULL;
    int64_t tokens = 0;
    if (!reader->language->tokenizer)
        FAIL(STATUS_INPUT, "the reward model's folder holds no tokenizer to read texts with");
    TRY(history_of(reader, messages, count, &history));
    status s = reply_encode(&reader->language->history, ROLE_ASSISTANT, reply, &ids, &tokens);
    if (!s) reward_sequence_make(history.ids, history.count, NULL, 0, ids, tokens, -1, out);
    encoded_history_free(&history);
    free(ids);
    return s;
}

static status sequence_of(const struct reward_reader *reader, const struct source_reply *reply,
                          struct reward_sequence *out)
{
    if (!reader->by_tokens && !reply->message_count)
        FAIL(STATUS_INPUT,
             "the source model encodes texts with its own tokenizer, and a token line "
             "has none");
    if (!reader->by_tokens)
        return reward_reader_encode(reader, reply->messages, reply->message_count, reply->text,
                                    out);
    reward_sequence_make(reply->history, reply->history_count, NULL, 0, reply->tokens, reply->count,
                         reply->ended ? -1 : reader->end, out);
    return NULL;
}

static status sequence_check(const struct reward_reader *reader, const struct source_reply *reply,
                             const struct reward_sequence *sequence)
{
    if (sequence->count <= reader->longest) return NULL;
    FAIL(STATUS_INPUT,
         "the source model: history and reply of dialogue %" PRId64 ", turn %d have %" PRId64
         " tokens, its longest sequence has %" PRId64
         "; lower history.max_tokens or rollout.max_new_tokens",
         reply->key.dialogue, reply->key.turn, sequence->count, reader->longest);
}

status reward_reader_judge(void *context, const struct source_reply *replies, int64_t count,
                           double *values)
{
    struct reward_reader *reader = context;
    struct reward_sequence *sequences = memory_allocate((size_t)(count + 1) * sizeof *sequences);
    status s = NULL;
    for (int64_t i = 0; !s && i < count; i++) {
        s = sequence_of(reader, &replies[i], &sequences[i]);
        if (!s) s = sequence_check(reader, &replies[i], &sequences[i]);
    }
    if (!s) s = reward_reader_read(reader, sequences, count, values);
    for (int64_t i = 0; i < count; i++) reward_sequence_free(&sequences[i]);
    free(sequences);
    return s;
}
