/* Decoder-only models as one family of src/model. */
#include "src/model/family.h"

#include "src/model/causal/backward.h"
#include "src/model/causal/decode.h"
#include "src/model/causal/folder.h"
#include "src/model/causal/forward.h"
#include "src/model/causal/shape.h"
#include "src/model/causal/weights.h"

const struct model_family family_causal = {
    .name = "causal",
    .causal = true,
    .config_types = causal_config_types,
    .shape_size = sizeof(struct causal_shape),
    .shape_rows = causal_shape_rows,
    .shape_check = causal_shape_check,
    .shape_from_settings = causal_shape_from_settings,
    .shape_from_config = causal_shape_from_config,
    .sequence_max = causal_sequence_max,
    .shape_without_replies = causal_shape_without_replies,
    .model_size = sizeof(struct causal),
    .lay_out = causal_lay_out,
    .create = causal_create,
    .release = causal_release,
    .initial_deviation = causal_initial_deviation,
    .run_size = sizeof(struct causal_run),
    .run_create = causal_run_create,
    .run_release = causal_run_release,
    .run_measure = causal_run_measure,
    .run_limit = causal_run_limit,
    .run_place_integers = causal_run_place_integers,
    .run_fill_integers = causal_run_fill_integers,
    .run_place = causal_run_place,
    .forward = causal_forward,
    .backward = causal_backward,
    .decoder_size = sizeof(struct causal_decoder),
    .decoder_create = causal_decoder_create,
    .decoder_release = causal_decoder_release,
    .decoder_place = causal_decoder_place,
    .decoder_place_integers = causal_decoder_place_integers,
    .decoder_fill_integers = causal_decoder_fill_integers,
    .decoder_reserve = causal_decoder_reserve,
    .decoder_begin = causal_decoder_begin,
    .decoder_step = causal_decoder_step,
    .decoder_retain = causal_decoder_retain,
    .tensor_names = causal_tensor_names,
    .tensor_ignored = causal_tensor_ignored,
    .folder_save = causal_folder_save,
};
