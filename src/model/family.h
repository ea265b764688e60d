/* What a family of models is to the rest of src/model: one table of names, sizes and functions.
 * A family has a folder of its own, src/model/NAME/, and a line in families.c.  Its structs begin
 * with the common ones (struct model_shape, model, model_run, model_decoder), which src/model
 * allocates at the sizes given here, zeroed. */
#ifndef REGARD_MODEL_FAMILY_H
#define REGARD_MODEL_FAMILY_H

#include "kernels/ops.h"

#include <jansson.h>

struct model;
struct model_batch;
struct model_decoder;
struct model_decoder_limits;
struct model_limits;
struct model_run;
struct model_shape;
struct model_watermark;
struct parameter;
struct parameters;
struct shape_row;
struct workspace;

struct model_family {
    const char *name;
    /* History and reply are one sequence: a reply's first token stands behind the history's last,
     * and what histories begin with alike is computed once (forest.h).  Otherwise a reply stands
     * behind the shape's start id and reads an encoded history. */
    bool causal;
    const char *const *config_types; /* config.json's model_type names, then NULL */

    size_t shape_size;
    const struct shape_row *shape_rows;
    /* What the rows' bounds do not say. */
    status (*shape_check)(const struct model_shape *shape);
    /* Completes a shape whose rows are the settings', of one of the config types. */
    void (*shape_from_settings)(struct model_shape *shape, const char *model_type);
    /* From a Hugging Face folder's config.json, an object at `path` of this family's type;
     * the folder's weights may be looked at. */
    status (*shape_from_config)(const json_t *config, const char *path, const char *folder,
                                struct model_shape *shape);
    /* The most tokens a history and its reply may have; NULL: any number. */
    int64_t (*sequence_max)(const struct model_shape *shape);
    /* The shape without what replies alone need: a critic's. */
    void (*shape_without_replies)(struct model_shape *shape);

    size_t model_size;
    /* Appends the parameters, notes where the linear layers are (model_state.h). */
    void (*lay_out)(struct model *model);
    /* Device memory beside the parameters; NULL: none. */
    status (*create)(struct model *model);
    void (*release)(struct model *model); /* what lay_out and create allocated */
    /* Standard deviation of a new model's parameter; 0: all ones; below: all zeros. */
    double (*initial_deviation)(const struct model_shape *shape, const struct parameter *one);

    /* Parts of linear layers that adapters are for where nobody chooses, "q,v"; NULL: all. */
    const char *adapter_targets;

    size_t run_size;
    void (*run_create)(struct model_run *run); /* host memory of its own */
    void (*run_release)(struct model_run *run);
    /* What the family finds in a checked batch before anything is placed; NULL: nothing. */
    status (*run_measure)(struct model_run *run, const struct model_batch *batch);
    /* The largest batch within the run's numbers, for the integers; NULL: nothing to do. */
    void (*run_limit)(struct model_run *run, const struct model_limits *limits);
    /* The family's own integers, and what they are for a batch: into the places' host image. */
    void (*run_place_integers)(struct model_run *run, struct workspace *workspace);
    void (*run_fill_integers)(const struct model_run *run, const struct model_batch *batch);
    /* The family's part of the run's workspace for the present batch: what forward leaves, and
     * the gradients' places where activations are kept. */
    void (*run_place)(struct model_run *run, struct workspace *workspace);
    /* The pass of the present batch: fills run->hidden (of a causal model without replies alone)
     * and, with replies, run->head_input. */
    void (*forward)(struct model_run *run);
    /* Gradients of a kept pass, added to `gradients`, but none of what
     * stands still (model_gradient): from run->dhead_input where `replies`, plus
     * dhidden, like run->hidden, or NULL. */
    void (*backward)(struct model_run *run, bool replies, const real *dhidden, float *gradients,
                     const struct model_watermark *watermark);

    size_t decoder_size;
    status (*decoder_create)(struct model_decoder *decoder);
    void (*decoder_release)(struct model_decoder *decoder);
    /* Room for a step's activations, but its logits; for integers that belong to the rows. */
    void (*decoder_place)(struct model_decoder *decoder, struct workspace *workspace);
    void (*decoder_place_integers)(struct model_decoder *decoder, struct workspace *workspace);
    /* The host's image of those, for the present rows. */
    void (*decoder_fill_integers)(struct model_decoder *decoder);
    /* Beforehand, memory of the family's own for batches within the limits. */
    status (*decoder_reserve)(struct model_decoder *decoder,
                              const struct model_decoder_limits *limits);
    /* Reads the histories, and makes room for the keys and values of the rows (decoder->rows,
     * host_history).  Then places_make and fill_integers are called. */
    status (*decoder_begin)(struct model_decoder *decoder, const struct model_batch *histories);
    /* One step: from decoder->input to decoder->logits and decoder->capture. */
    void (*decoder_step)(struct model_decoder *decoder);
    /* Slot `slot` read the last token of its history and then `count` - 1 tokens of its reply: what
     * it computed is kept for a history that goes on with them.  NULL: nothing is. */
    void (*decoder_retain)(struct model_decoder *decoder, int64_t slot, const int32_t *tokens,
                           int64_t count);

    /* Other names under which files store a parameter, in the order they are looked for, then
     * NULL; which tensors of a file are passed over. */
    const char *const *(*tensor_names)(const struct model_shape *shape, const char *parameter);
    bool (*tensor_ignored)(const char *name);
    /* A Hugging Face folder from parameters' values (host), which may be changed. */
    status (*folder_save)(const struct model_shape *shape, const struct parameters *parameters,
                          float *values, const char *folder);
};

#endif
