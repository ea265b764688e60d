/* Folders that hold adapters and name the base they are for: checkpoints of a run with adapters,
 * and PEFT's. */
#ifndef REGARD_CHECKPOINT_ADAPTER_FOLDER_H
#define REGARD_CHECKPOINT_ADAPTER_FOLDER_H

#include "src/checkpoint/tensors.h"

/* *found: whether the folder is one, and what it says; base is a path to open, empty where it names
 * none.  base_sha256 is empty of PEFT's, which do not know it.  A checkpoint is verified by now. */
status adapter_folder_look(const char *folder, bool *found, struct checkpoint_adapter *out);
/* Its adapters into a model created with its settings, on any base that has the same shape; a
 * checkpoint's asks for the very base. */
status adapter_folder_load(const char *folder, struct model *model);

#endif
