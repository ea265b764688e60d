#include "src/model/slots.h"

#include "kernels/plan.h"
#include "src/model/family.h"
#include "src/model/model_state.h"

#include <stdlib.h>
#include <string.h>

static const char row_name[] = "summary_slots";

int64_t model_slots(const struct model_shape *shape)
{
    return (int64_t)model_shape_number(shape, row_name);
}

static status values_copy(struct model *from, struct model *to, int64_t seed)
{
    struct queue *q = to->queue;
    if (queue_is_plan(q)) return NULL;
    TRY(model_initialize(to, seed));
    for (int64_t i = 0; i < from->parameters.count; i++) {
        const struct parameter *theirs = &from->parameters.list[i];
        const struct parameter *mine = parameters_find(&to->parameters, theirs->name);
        q->op->copy(q, to->parameters.values + mine->offset,
                    from->parameters.values + theirs->offset,
                    (size_t)theirs->count * sizeof(float));
    }
    return model_refresh(to);
}

status model_add_slots(struct model **model, int64_t slots, bool with_gradients, int64_t seed)
{
    struct model *old = *model, *grown;
    struct model_shape *shape = model_shape_copy(old->shape);
    for (const struct shape_row *row = shape->family->shape_rows; row->name; row++)
        if (!strcmp(row->name, row_name)) shape_row_set(shape, row, (double)slots);
    status s = model_create(old->queue, shape, with_gradients, &grown);
    free(shape);
    if (s) return s;
    s = values_copy(old, grown, seed);
    if (!s) s = old->queue->op->synchronize(old->queue);
    if (s) {
        model_destroy(grown);
        return s;
    }
    model_destroy(old);
    *model = grown;
    return NULL;
}
