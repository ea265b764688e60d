/* Texts as token states of a model that is asked for nothing else (eval.encoder), by its own
 * tokenizer. */
#ifndef REGARD_EVALUATE_TEXT_ENCODER_H
#define REGARD_EVALUATE_TEXT_ENCODER_H

#include "src/evaluate/bert_score.h"
#include "src/model/model.h"
#include "src/text/tokenizer.h"

/* A text is its tokens, encoded as plain text, with a special token that has no weight: the end
 * token behind them where the model has an encoder; before them, of a decoder-only model, the
 * beginning token, or where the tokenizer has none the end token, since a decoder-only model's
 * state at its first position says little of the token there.  Longer texts end after this many
 * tokens, or as many as the model's longest sequence has. */
enum { TEXT_ENCODER_LONGEST = 1024 };

struct text_encoder;
/* Takes model and tokenizer over, which it closes even where it fails.  name: of the folder, for
 * errors.  layer: model_states_create's, -1: the last. */
status text_encoder_create(struct model *model, struct tokenizer *tokenizer, const char *name,
                           int64_t layer, struct text_encoder **out);
void text_encoder_close(struct text_encoder *encoder); /* NULL is allowed */
int64_t text_encoder_width(const struct text_encoder *encoder);
/* What its numbers are by. */
const char *text_encoder_name(const struct text_encoder *encoder);
int64_t text_encoder_layer(const struct text_encoder *encoder);
int64_t text_encoder_layers(const struct text_encoder *encoder); /* that there are */
/* All device memory at once. */
status text_encoder_reserve(struct text_encoder *encoder);
/* The states of texts, into `out` [count]: they stay until the next call. */
status text_encoder_read(struct text_encoder *encoder, const char *const *texts, int64_t count,
                         struct token_states *out);

#endif
