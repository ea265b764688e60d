/* Hugging Face folders of decoder-only models: LlamaForCausalLM, MistralForCausalLM,
 * Qwen2ForCausalLM, Qwen3ForCausalLM. */
#ifndef REGARD_MODEL_CAUSAL_FOLDER_H
#define REGARD_MODEL_CAUSAL_FOLDER_H

#include "src/model/causal/state.h"

#include <jansson.h>

extern const char *const causal_config_types[]; /* by enum causal_kind, then NULL */

status causal_shape_from_config(const json_t *config, const char *path, const char *folder,
                                struct model_shape *shape);
const char *const *causal_tensor_names(const struct model_shape *shape, const char *parameter);
bool causal_tensor_ignored(const char *name);
status causal_folder_save(const struct model_shape *shape, const struct parameters *parameters,
                          float *values, const char *folder);

#endif
