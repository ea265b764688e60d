/* Reward models' folders: checkpoints of `regard reward`, told from language models' by a file
 * (model_folder_is_value), and then by the shape in model.h5. */
#ifndef REGARD_CHECKPOINT_VALUE_FOLDER_H
#define REGARD_CHECKPOINT_VALUE_FOLDER_H

#include "src/model/value_model.h"

/* Any other folder is refused.  One with manifest.json, as all of them have, is verified before
 * anything in it is read; on a queue that plans only the shape is. */
status value_folder_open(const char *folder, struct queue *queue, bool with_gradients,
                         struct value_model **out);

#endif
