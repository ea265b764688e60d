/* A T5's decode step: the pieces of a layer are those of the teacher-forced pass. */
#ifndef REGARD_MODEL_T5_DECODE_H
#define REGARD_MODEL_T5_DECODE_H

#include "src/model/t5/state.h"

void t5_decoder_create(struct model_decoder *decoder);
void t5_decoder_release(struct model_decoder *decoder);
void t5_decoder_place(struct model_decoder *decoder, struct workspace *workspace);
void t5_decoder_place_caches(struct model_decoder *decoder, struct workspace *workspace);
void t5_decoder_begin(struct model_decoder *decoder);
void t5_decoder_step(struct model_decoder *decoder);

#endif
