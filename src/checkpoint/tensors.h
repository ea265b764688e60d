/* The large arrays of a checkpoint: model.h5 and the learners' slices. */
#ifndef REGARD_CHECKPOINT_TENSORS_H
#define REGARD_CHECKPOINT_TENSORS_H

#include "src/checkpoint/layout.h"
#include "src/model/adapter.h"
#include "src/model/model.h"

/* model.h5: every parameter as a float32 dataset, host [parameters' layout] holding the
 * values; the shape as attributes. */
status checkpoint_write_model(const char *folder, const struct parameters *parameters,
                              const float *host, const struct model_shape *shape);

/* model.h5 of adapters alone: which base they are for, and how they are laid out. */
struct checkpoint_adapter {
    struct adapter_settings settings;
    char base[CHECKPOINT_PATH_MAX]; /* its folder; a relative path begins at the checkpoint's */
    char base_sha256[65];           /* its `parameters sha256` */
};
/* The same for parameters that are adapters; shape: the base's. */
status checkpoint_write_adapter(const char *folder, const struct parameters *trained,
                                const float *host, const struct model_shape *shape,
                                const struct checkpoint_adapter *adapter);

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
/* *found: whether model.h5 holds adapters alone. */
status checkpoint_read_adapter(const char *folder, bool *found, struct checkpoint_adapter *out);
/* Into host [parameters' size]; a missing, unexpected or misshapen tensor is named. */
status checkpoint_read_model(const char *folder, const struct parameters *parameters, float *host);
/* The same onto the parameters' device. */
status checkpoint_load_model(const char *folder, struct parameters *parameters);
/* The full flat vector put together from all slices, at any learner count; the caller frees. */
status checkpoint_read_vector(const char *folder, const char *name, float **values, int64_t *total);

#endif
