/* Model folders: Hugging Face's (config.json, model.safetensors or its shards, tokenizer),
 * read and written.  A regard checkpoint is read by src/checkpoint. */
#ifndef REGARD_MODEL_FOLDER_H
#define REGARD_MODEL_FOLDER_H

#include "src/model/model.h"

/* config.json to a shape: old sparse forms take Transformers' defaults.  Whether the head is
 * tied and logits are scaled may need the weights: model_folder_shape looks at both. */
status model_folder_shape(const char *folder, struct model_shape *shape);
/* Whether the weights can be those of a model of that shape, before memory is taken for it: the
 * error names the first tensor that is not. */
status model_folder_check(const char *folder, const struct model_shape *shape);
/* Loads all parameters of a model created with that shape; unexpected and missing tensors
 * are refused by name; redundant copies and legacy tensors are accepted. */
status model_folder_load(const char *folder, struct model *model);
/* Writes config.json, generation_config.json and model.safetensors (F32) into an existing
 * folder, as Transformers 4.57 and 5 read them. */
status model_folder_save(struct model *model, const char *folder);

#endif
