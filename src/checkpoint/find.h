/* Which checkpoints a run has, and which of them is to be used. */
#ifndef REGARD_CHECKPOINT_FIND_H
#define REGARD_CHECKPOINT_FIND_H

#include "src/checkpoint/layout.h"

#include <stdbool.h>

/* Steps of the published checkpoints, ascending; the caller frees. */
status checkpoint_steps(const char *run, int64_t **steps, int64_t *count);
/* Links beside the checkpoints: RUN/checkpoints/best and newest, each the name of a step's folder.
 */
#define CHECKPOINT_BEST "best"
#define CHECKPOINT_NEWEST "newest"
/* Makes the link that of a step in place of another, at once; step -1, or one that has no folder:
 * there is none afterwards. */
status checkpoint_link(const char *run, const char *name, int64_t step);
/* Whether a folder is a run's, not a model's. */
bool checkpoint_is_run(const char *folder);
/* The checkpoint of a run that serves as its model: the best, else the newest; logs which. */
status checkpoint_of_run(const char *run, char folder[CHECKPOINT_PATH_MAX]);
/* A folder that is named: of a run that checkpoint, any other itself. */
status checkpoint_named(const char *named, char folder[CHECKPOINT_PATH_MAX]);
/* The newest checkpoint of a run that verifies; *step is -1 where there is none at all.
 * One that fails is set aside as step-N.bad with a warning and the one before it is tried.
 * Checkpoints exist (set aside ones too) and none verifies: an error.  look_only: the same, but
 * nothing is renamed. */
status checkpoint_newest(const char *run, bool look_only, char folder[CHECKPOINT_PATH_MAX],
                         int64_t *step);

#endif
