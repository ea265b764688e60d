/* See text_encoder.h. */
#include "src/evaluate/text_encoder.h"

#include "src/base/memory.h"
#include "src/model/states.h"

#include <stdlib.h>
#include <string.h>

/* The most that one pass computes. */
enum { PASS_TEXTS = 256, PASS_TOKENS = 8192 };
_Static_assert((int)TEXT_ENCODER_LONGEST <= (int)PASS_TOKENS, "a text fits into a pass");

struct text_encoder {
    struct model *model;
    struct tokenizer *tokenizer;
    struct model_states *states;
    char *name;
    int64_t layer, longest;
    int32_t special; /* the token that every text has; -1: none */
    bool first;      /* it stands before the text */
    /* Of the last call. */
    int32_t *tokens;
    int64_t *begin; /* [texts + 1] */
    float *rows;
    double *weights;
};

static status encoder_open(struct text_encoder *e, int64_t layer)
{
    const struct model_shape *shape = model_shape(e->model);
    if (!e->tokenizer)
        FAIL(STATUS_INPUT, "eval.encoder: %s holds no tokenizer, which texts are read with",
             e->name);
    if (tokenizer_size(e->tokenizer) > shape->vocabulary)
        FAIL(STATUS_INPUT, "eval.encoder: %s: its tokenizer has %lld ids, its model %lld", e->name,
             (long long)tokenizer_size(e->tokenizer), (long long)shape->vocabulary);
    const int64_t layers = model_states_layers(e->model);
    if (layer > layers)
        FAIL(STATUS_INPUT, "eval.encoder_layer is %lld; %s has %lld layers", (long long)layer,
             e->name, (long long)layers);
    e->layer = layer < 0 ? layers : layer;
    const int64_t max = model_shape_sequence_max(shape);
    e->longest = max < TEXT_ENCODER_LONGEST ? max : TEXT_ENCODER_LONGEST;
    e->first = model_shape_is_causal(shape);
    e->special = e->first ? tokenizer_begin(e->tokenizer) : -1;
    if (e->special < 0) e->special = tokenizer_end(e->tokenizer);
    return model_states_create(e->model, e->layer, &e->states);
}

status text_encoder_create(struct model *model, struct tokenizer *tokenizer, const char *name,
                           int64_t layer, struct text_encoder **out)
{
    struct text_encoder *encoder = memory_allocate(sizeof *encoder);
    encoder->model = model;
    encoder->tokenizer = tokenizer;
    encoder->name = memory_text(name);
    status s = encoder_open(encoder, layer);
    if (s) {
        text_encoder_close(encoder);
        return s;
    }
    *out = encoder;
    return NULL;
}

void text_encoder_close(struct text_encoder *encoder)
{
    if (!encoder) return;
    model_states_destroy(encoder->states);
    model_destroy(encoder->model);
    tokenizer_close(encoder->tokenizer);
    free(encoder->name);
    free(encoder->tokens);
    free(encoder->begin);
    free(encoder->rows);
    free(encoder->weights);
    free(encoder);
}

int64_t text_encoder_width(const struct text_encoder *encoder)
{
    return model_shape(encoder->model)->width;
}

const char *text_encoder_name(const struct text_encoder *encoder)
{
    return encoder->name;
}

int64_t text_encoder_layer(const struct text_encoder *encoder)
{
    return encoder->layer;
}

int64_t text_encoder_layers(const struct text_encoder *encoder)
{
    return model_states_layers(encoder->model);
}

status text_encoder_reserve(struct text_encoder *encoder)
{
    return model_states_reserve(encoder->states, PASS_TEXTS, PASS_TOKENS, encoder->longest);
}

/* A text's tokens and weights, behind those of the texts before. */
static status text_add(struct text_encoder *e, const char *text, int64_t *count)
{
    struct token_list list = {0};
    status s = tokenizer_encode_plain(e->tokenizer, text, strlen(text), &list);
    if (s) {
        token_list_free(&list);
        return s;
    }
    const int64_t special = e->special >= 0;
    const int64_t own = list.count < e->longest - special ? list.count : e->longest - special;
    const size_t room = (size_t)(*count + own + special + 1); /* an empty list has an array too */
    e->tokens = memory_resize(e->tokens, room * sizeof *e->tokens);
    e->weights = memory_resize(e->weights, room * sizeof *e->weights);
    const int64_t first = *count + (special && e->first);
    for (int64_t t = 0; t < own; t++) {
        e->tokens[first + t] = list.ids[t];
        e->weights[first + t] = 1;
    }
    if (special) {
        const int64_t at = e->first ? *count : first + own;
        e->tokens[at] = e->special;
        e->weights[at] = 0;
    }
    *count += own + special;
    token_list_free(&list);
    return NULL;
}

/* Texts from `first` on that go into one pass, those that have tokens; returns the next one. */
static int64_t pass_end(const struct text_encoder *e, int64_t first, int64_t texts)
{
    int64_t last = first;
    while (last < texts && last - first < PASS_TEXTS &&
           e->begin[last + 1] - e->begin[first] <= PASS_TOKENS)
        last++;
    return last;
}

static status pass_run(struct text_encoder *e, int64_t first, int64_t last)
{
    int32_t begin[PASS_TEXTS + 1] = {0};
    int64_t texts = 0;
    for (int64_t i = first; i < last; i++) {
        const int64_t count = e->begin[i + 1] - e->begin[i];
        if (count == 0) continue;
        begin[texts + 1] = begin[texts] + (int32_t)count;
        texts++;
    }
    if (texts == 0) return NULL;
    return model_states_read(e->states, e->tokens + e->begin[first], begin, texts,
                             e->rows + e->begin[first] * text_encoder_width(e));
}

status text_encoder_read(struct text_encoder *e, const char *const *texts, int64_t count,
                         struct token_states *out)
{
    const int64_t width = text_encoder_width(e);
    int64_t tokens = 0;
    e->begin = memory_resize(e->begin, (size_t)(count + 1) * sizeof *e->begin);
    e->begin[0] = 0;
    for (int64_t i = 0; i < count; i++) {
        TRY(text_add(e, texts[i], &tokens));
        e->begin[i + 1] = tokens;
    }
    e->rows = memory_resize(e->rows, (size_t)(tokens * width + 1) * sizeof *e->rows);
    for (int64_t first = 0; first < count;) {
        const int64_t last = pass_end(e, first, count);
        TRY(status_context(pass_run(e, first, last), "eval.encoder %s", e->name));
        first = last;
    }
    for (int64_t i = 0; i < count; i++)
        out[i] = (struct token_states){e->rows + e->begin[i] * width, e->weights + e->begin[i],
                                       e->begin[i + 1] - e->begin[i]};
    return NULL;
}
