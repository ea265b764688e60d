/* A T5 as a Hugging Face folder: config.json, other names of tensors, and a folder that
 * Transformers 4.57 and 5 load with equal outputs. */
#ifndef REGARD_MODEL_T5_FOLDER_H
#define REGARD_MODEL_T5_FOLDER_H

#include "src/model/parameters.h"
#include "src/model/t5/shape.h"

status t5_shape_from_config(const json_t *config, const char *path, const char *folder,
                            struct model_shape *shape);
const char *const *t5_tensor_names(const struct model_shape *shape, const char *parameter);
bool t5_tensor_ignored(const char *name);
status t5_folder_save(const struct model_shape *shape, const struct parameters *parameters,
                      float *values, const char *folder);

#endif
