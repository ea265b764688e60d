/* model: what a reward model says of the reply (reward.model).  It is read by
 * source_settings.reward_model, since models stand above this folder. */
#include "src/source/source.h"

#include "src/base/memory.h"
#include "src/base/timeline.h"

#include <stdlib.h>
#include <string.h>

static status open_model(const struct source_settings *settings, void **state)
{
    if (!settings->reward_model.read)
        FAIL(STATUS_INTERNAL, "the source model was opened without a reward model");
    struct source_model *model = memory_allocate(sizeof *model);
    *model = settings->reward_model;
    *state = model;
    return NULL;
}

static status compute(void *state, const struct source_reply *replies, int64_t count,
                      double *values, struct source_spans *spans)
{
    const struct source_model *model = state;
    (void)spans;
    timeline_begin(TIME_READ);
    status s = model->read(model->context, replies, count, values);
    timeline_end();
    return s;
}

const struct source source_model = {.name = "model",
                                    .needs = SOURCE_NEEDS_TEXT,
                                    .open = open_model,
                                    .compute = compute,
                                    .close = free};
