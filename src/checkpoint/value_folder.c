#include "src/checkpoint/value_folder.h"

#include "kernels/plan.h"
#include "src/checkpoint/adapter_folder.h"
#include "src/checkpoint/model_folder.h"
#include "src/model/adapted.h"

#include <stdlib.h>

static status adapters_open(const char *folder, const struct checkpoint_adapter *adapter,
                            struct queue *queue, bool with_gradients, struct value_model **out)
{
    struct model *base;
    TRY(status_context(model_open_merged(adapter->base, queue, with_gradients, &base),
                       "the base of %s", folder));
    status s = value_model_create_on(base, &adapter->settings, with_gradients, out);
    if (s) {
        model_destroy(base);
        return status_context(s, "%s", folder);
    }
    struct model *trunk = value_model_trunk(*out);
    model_own_base(trunk);
    model_note_base(trunk, adapter->base);
    return queue_is_plan(queue) ? NULL : adapter_folder_load(folder, trunk);
}

static status whole_open(const char *folder, struct queue *queue, bool with_gradients,
                         struct value_model **out)
{
    struct model_shape *shape;
    TRY(checkpoint_read_shape(folder, &shape));
    status s = shape->valued ? value_model_create(queue, shape, with_gradients, out)
                             : ERROR(STATUS_INPUT, "%s/model.h5: no reward model's shape", folder);
    free(shape);
    if (s || queue_is_plan(queue)) return s;
    TRY(checkpoint_load_model(folder, value_model_parameters(*out)));
    return value_model_refresh(*out);
}

status value_folder_open(const char *folder, struct queue *queue, bool with_gradients,
                         struct value_model **out)
{
    struct checkpoint_adapter adapter;
    bool found;
    *out = NULL;
    TRY(model_folder_verify(folder, queue));
    if (!model_folder_is_value(folder))
        FAIL(STATUS_INPUT,
             "%s is a language model's folder; a reward model's is wanted, which regard reward "
             "trains",
             folder);
    TRY(adapter_folder_look(folder, &found, &adapter));
    status s = found ? adapters_open(folder, &adapter, queue, with_gradients, out)
                     : whole_open(folder, queue, with_gradients, out);
    if (s) {
        value_model_destroy(*out);
        *out = NULL;
    }
    return s;
}
