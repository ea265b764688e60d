/* Model folders: Hugging Face's (config.json, model.safetensors or its shards, tokenizer),
 * read and written.  A regard checkpoint is read by src/checkpoint. */
#ifndef REGARD_MODEL_FOLDER_H
#define REGARD_MODEL_FOLDER_H

#include "src/model/model.h"

/* config.json to a shape: sparse forms take Transformers' defaults; the weights may be looked at
 * too.  Freed with free(). */
status model_folder_shape(const char *folder, struct model_shape **shape);
/* Whether the weights can be those of a model of that shape, before memory is taken for it: the
 * error names the first tensor that is not. */
status model_folder_check(const char *folder, const struct model_shape *shape);
/* Loads all parameters of a model created with that shape.  Each is found under its own name or
 * another that the family knows; what is there under several must be equal; unexpected and missing
 * tensors are refused by name. */
status model_folder_load(const char *folder, struct model *model);
/* Writes config.json, generation_config.json and model.safetensors (F32) into an existing
 * folder, as Transformers 4.57 and 5 read them; adapters are merged. */
status model_folder_save(struct model *model, const char *folder);

#endif
