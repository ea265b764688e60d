/* --model DIR: a Hugging Face folder, an imported model or a checkpoint, told apart by
 * what lies in it; and the imported form (model.h5, tokenizer, manifest) written. */
#ifndef REGARD_CHECKPOINT_MODEL_FOLDER_H
#define REGARD_CHECKPOINT_MODEL_FOLDER_H

#include "src/checkpoint/checkpoint.h"

/* A folder with manifest.json is verified before anything in it is read; on a queue that plans only
 * the shape is. */
status model_open(const char *folder, struct queue *queue, bool with_gradients,
                  struct model **model);
/* True for an imported model or a checkpoint (manifest.json lies there). */
bool model_is_checkpoint(const char *folder);
/* Writes an imported model into out, an existing folder without a manifest; the tokenizer's
 * files come from tokenizer_folder, where it has some (NULL: none). */
status model_save_imported(struct model *model, const char *tokenizer_folder, const char *out);

#endif
