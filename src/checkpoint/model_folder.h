/* --model DIR: a Hugging Face folder, an imported model, a checkpoint or adapters that name their
 * base, told apart by what lies in it; and the imported form (model.h5, tokenizer, manifest)
 * written. */
#ifndef REGARD_CHECKPOINT_MODEL_FOLDER_H
#define REGARD_CHECKPOINT_MODEL_FOLDER_H

#include "src/checkpoint/checkpoint.h"

/* A folder with manifest.json is verified before anything in it is read; on a queue that plans only
 * the shape is. */
status model_open(const char *folder, struct queue *queue, bool with_gradients,
                  struct model **model);
/* The same without adapters: those that the folder holds are merged into their weights. */
status model_open_merged(const char *folder, struct queue *queue, bool with_gradients,
                         struct model **model);
/* The model of `folder` with the adapters of another, PEFT's or a checkpoint; `adapters` empty:
 * model_open. */
status model_open_with(const char *folder, const char *adapters, struct queue *queue,
                       bool with_gradients, struct model **model);
/* Whether it is a reward model's folder (value_folder.h). */
bool model_folder_is_value(const char *folder);
/* Refuses a reward model's folder, which writes no replies; any other passes, and so does one that
 * does not exist. */
status model_folder_speaks(const char *folder);
/* Marks a folder as written under device: sleep. */
status model_folder_mark_stub(const char *folder);
/* Refuses such a folder unless the queue is of that device too. */
status model_folder_computed(const char *folder, const struct queue *queue);
/* A folder with a manifest against it, and that it was computed; for a queue that plans nothing
 * is. */
status model_folder_verify(const char *folder, const struct queue *queue);
/* True for an imported model or a checkpoint (manifest.json lies there). */
bool model_is_checkpoint(const char *folder);
/* Notes where the base lies that a model's adapters stand on, as an absolute path. */
void model_note_base(struct model *model, const char *folder);
/* Where the tokenizer of a model opened from a folder lies: there, or with the base. */
const char *model_words_folder(const char *folder, const struct model *model);
/* model.h5 of what is trained: all of a model, or its adapters, which name their base as
 * model_name_base did.  host: model_trained's values. */
status model_write_trained(struct model *model, const float *host, const char *out);
/* Writes an imported model into out, an existing folder without a manifest; the tokenizer's
 * files come from tokenizer_folder, where it has some (NULL: none).  Of a model with adapters them
 * alone or, merged, all of it. */
status model_save_imported(struct model *model, bool merged, const char *tokenizer_folder,
                           const char *out);

#endif
