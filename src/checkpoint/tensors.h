/* The large arrays of a checkpoint: model.h5 and the learners' slices. */
#ifndef REGARD_CHECKPOINT_TENSORS_H
#define REGARD_CHECKPOINT_TENSORS_H

#include "src/checkpoint/layout.h"
#include "src/model/model.h"

/* model.h5: every parameter as a float32 dataset, host [parameters' layout] holding the
 * values; the shape as attributes. */
status checkpoint_write_model(const char *folder, const struct parameters *parameters,
                              const float *host, const struct model_shape *shape);

/* A learner's part [offset, offset + count) of a flat vector of total floats. */
struct checkpoint_vector {
    const char *name;
    const float *values;
    int64_t count, total, offset;
};
status checkpoint_write_slice(const char *folder, int learner, int learners,
                              const struct checkpoint_vector *vectors, int64_t count);

/* The next ones want a verified folder.  The shape is freed with free(). */
status checkpoint_read_shape(const char *folder, struct model_shape **shape);
/* Into host [parameters' size]; a missing, unexpected or misshapen tensor is named. */
status checkpoint_read_model(const char *folder, const struct parameters *parameters, float *host);
/* The full flat vector put together from all slices, at any learner count; the caller frees. */
status checkpoint_read_vector(const char *folder, const char *name, float **values, int64_t *total);

#endif
