/* T5 as one family of src/model. */
#include "src/model/family.h"

#include "src/model/t5/backward.h"
#include "src/model/t5/decode.h"
#include "src/model/t5/folder.h"
#include "src/model/t5/forward.h"
#include "src/model/t5/shape.h"
#include "src/model/t5/summary.h"
#include "src/model/t5/weights.h"

/* mT5 is v1.1 with a vocabulary of its own. */
static const char *const config_types[] = {"t5", "mt5", NULL};

const struct model_family family_t5 = {
    .name = "t5",
    .config_types = config_types,
    .shape_size = sizeof(struct t5_shape),
    .shape_rows = t5_shape_rows,
    .shape_check = t5_shape_check,
    .shape_from_settings = t5_shape_from_settings,
    .shape_from_config = t5_shape_from_config,
    .shape_without_replies = t5_shape_without_replies,
    .model_size = sizeof(struct t5),
    .lay_out = t5_lay_out,
    .release = t5_release,
    .initial_deviation = t5_initial_deviation,
    .adapter_targets = "q,v", /* PEFT's for T5 */
    .run_size = sizeof(struct t5_run),
    .run_create = t5_run_create,
    .run_release = t5_run_release,
    .run_measure = t5_summaries_measure,
    .run_limit = t5_summaries_limit,
    .run_place_integers = t5_run_place_integers,
    .run_fill_integers = t5_run_fill_integers,
    .run_place = t5_run_place,
    .forward = t5_forward,
    .backward = t5_backward,
    .decoder_size = sizeof(struct t5_decoder),
    .decoder_create = t5_decoder_create,
    .decoder_release = t5_decoder_release,
    .decoder_place = t5_decoder_place,
    .decoder_place_integers = t5_decoder_place_integers,
    .decoder_fill_integers = t5_decoder_fill_integers,
    .decoder_reserve = t5_decoder_reserve,
    .decoder_begin = t5_decoder_begin,
    .decoder_step = t5_decoder_step,
    .tensor_names = t5_tensor_names,
    .tensor_ignored = t5_tensor_ignored,
    .folder_save = t5_folder_save,
};
