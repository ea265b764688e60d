/* manifest.json: which files a checkpoint consists of, with sizes and hashes.  Written last,
 * verified before HDF5 opens anything. */
#ifndef REGARD_CHECKPOINT_MANIFEST_H
#define REGARD_CHECKPOINT_MANIFEST_H

#include "src/checkpoint/layout.h"

enum { CHECKPOINT_FORMAT = 1 };

/* Of a folder whose files are final: a checkpoint, or an imported model (step -1). */
status checkpoint_write_manifest(const char *folder, int64_t step,
                                 const struct checkpoint_file *files, int64_t count);
/* Manifest, sizes and hashes; anything missing or changed is one clear error, and so is a
 * file that the manifest does not list where regard would read it; others are ignored and said.
 * *step may be NULL; -1 for an imported model. */
status checkpoint_verify(const char *folder, int64_t *step);

#endif
