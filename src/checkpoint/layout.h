/* Where things lie in a run's checkpoints: names of folders and files, and what is said of a file.
 */
#ifndef REGARD_CHECKPOINT_LAYOUT_H
#define REGARD_CHECKPOINT_LAYOUT_H

#include "src/base/status.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    CHECKPOINT_PATH_MAX = 1024,
    CHECKPOINT_NAME_MAX = 96 /* of a file, a vector or a row of state.h5 */
};

/* RUN/checkpoints/step-000120 (or .tmp) */
void checkpoint_folder(const char *run, int64_t step, char out[CHECKPOINT_PATH_MAX]);
void checkpoint_temporary(const char *run, int64_t step, char out[CHECKPOINT_PATH_MAX]);
/* learner-0000-of-0002.h5 */
void checkpoint_slice_name(int learner, int learners, char out[CHECKPOINT_NAME_MAX]);

/* The tokenizer's and idf table's files, which --model needs beside the weights; ends with NULL. */
extern const char *const checkpoint_text_files[];
/* A file of reward models' folders alone, by which they are told before anything is verified. */
#define CHECKPOINT_VALUE_HEAD "value_head.json"
/* A file of folders that device: sleep wrote: nothing in them was computed. */
#define CHECKPOINT_TIMED_STUB "timed_stub.txt"
/* Whether a file of this name in a model folder is read by regard: of those none may lie there that
 * the manifest does not list. */
bool checkpoint_is_read(const char *name);

/* What a manifest says about a file.  Plain bytes: gathered as they are. */
struct checkpoint_file {
    char name[CHECKPOINT_NAME_MAX];
    int64_t size;
    char sha256[72]; /* 64 digits */
};
status checkpoint_file_entry(const char *folder, const char *name, struct checkpoint_file *out);
/* All files in a folder but its manifest, by name; the caller frees *out. */
status checkpoint_list_files(const char *folder, struct checkpoint_file **out, int64_t *count);

#endif
