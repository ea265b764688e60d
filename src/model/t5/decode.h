/* A T5's decode step: the pieces of a layer are those of the teacher-forced pass. */
#ifndef REGARD_MODEL_T5_DECODE_H
#define REGARD_MODEL_T5_DECODE_H

#include "src/model/t5/state.h"

status t5_decoder_create(struct model_decoder *decoder);
void t5_decoder_release(struct model_decoder *decoder);
void t5_decoder_place(struct model_decoder *decoder, struct workspace *workspace);
void t5_decoder_place_integers(struct model_decoder *decoder, struct workspace *workspace);
void t5_decoder_fill_integers(struct model_decoder *decoder);
status t5_decoder_reserve(struct model_decoder *decoder, const struct model_decoder_limits *limits);
status t5_decoder_begin(struct model_decoder *decoder, const struct model_batch *batch);
void t5_decoder_step(struct model_decoder *decoder);

#endif
