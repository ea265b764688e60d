/* Adapters as a folder of PEFT's (adapter_config.json, adapter_model.safetensors), read and
 * written.
 */
#ifndef REGARD_MODEL_PEFT_H
#define REGARD_MODEL_PEFT_H

#include "src/model/adapter.h"
#include "src/model/model.h"

enum { PEFT_PATH_MAX = 1024 };

/* Whether an adapter_config.json lies there. */
bool peft_is_folder(const char *folder);
/* What the folder says of its adapters, and the base it names (empty: none).  What this program
 * does not do (DoRA, biases, other ranks for some layers, ...) is refused by its name.  rsLoRA
 * comes as an alpha. */
status peft_settings(const char *folder, struct adapter_settings *out, char base[PEFT_PATH_MAX]);
/* The values of a model created with those settings; a tensor that is missing, unexpected or of
 * another shape is refused by name. */
status peft_load(const char *folder, struct model *model);
/* Writes both files into an existing folder; base is what they name as theirs. */
status peft_save(struct model *model, const char *base, const char *folder);

#endif
