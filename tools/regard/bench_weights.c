/* The learner's weights into an actor's model on the same device, beside a plain copy of them. */
#include "tools/regard/bench.h"

struct pass {
    struct model *from, *to;
};

static void pass_call(struct queue *q, void *context)
{
    const struct pass *pass = context;
    (void)q;
    model_take_values(pass->to, model_parameters(pass->from)->values, 0);
}

static void copy_call(struct queue *q, void *context)
{
    const struct pass *pass = context;
    const struct parameters *from = model_parameters(pass->from);
    q->op->copy(q, model_parameters(pass->to)->values, from->values,
                (size_t)from->size * sizeof(float));
}

status bench_weights(const struct bench *b, json_t *out)
{
    struct pass pass = {NULL, NULL};
    double passed = 0, copied = 0;
    status s = bench_model(b, b->queue, false, &pass.from);
    if (!s) s = model_create(b->queue, model_shape(pass.from), false, &pass.to);
    if (!s) s = bench_time(b->queue, pass_call, &pass, &passed);
    if (!s) s = bench_time(b->queue, copy_call, &pass, &copied);
    if (!s) {
        json_t *line = json_object();
        json_object_set_new(out, "weights", line);
        json_object_set_new(line, "parameters", json_integer(model_parameters(pass.from)->size));
        json_object_set_new(line, "pass_ms", json_real(passed * 1e3));
        json_object_set_new(line, "copy_ms", json_real(copied * 1e3));
        json_object_set_new(line, "pass_over_copy", json_real(passed / copied));
        json_object_set_new(line, "pass_of",
                            json_string("an actor's matrices packed from the learner's fp32 "
                                        "parameters, the rest copied; copy: all of them"));
    }
    if (pass.to) model_destroy(pass.to);
    if (pass.from) model_destroy(pass.from);
    return s;
}
