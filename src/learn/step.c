/* One optimizer step: every microbatch's gradient is a leaf of the gradient tree, whose upper
 * levels are the exchange between learners, each of which then has the sum of its slice; clips and
 * steps that; and gets the others' parameters.  See step.h. */
#include "src/learn/step.h"

#include "src/base/memory.h"
#include "src/base/progress.h"
#include "src/learn/pack.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Adds the partial sums of all learners' microbatches in order. */
static status partials_gather(struct learner *l, const struct partial *mine,
                              struct step_metrics *out)
{
    void *all;
    size_t bytes;
    TRY(l->exchange.gather(l->exchange.context, mine,
                           (size_t)learner_microbatches(l) * sizeof *mine, &all, &bytes));
    const struct partial *part = all;
    for (size_t i = 0; i < bytes / sizeof *part; i++) {
        out->loss += part[i].loss;
        out->accuracy += part[i].accuracy;
        out->alignment += part[i].alignment;
        out->kl += part[i].kl;
        out->clip_fraction += part[i].clipped;
        out->entropy += part[i].entropy;
        out->importance += part[i].importance;
        out->importance_squares += part[i].importance_squares;
        out->truncated += part[i].truncated;
        if (part[i].importance_most > out->importance_most)
            out->importance_most = part[i].importance_most;
        out->tokens_computed += part[i].computed;
        out->tokens_pairs += part[i].pairs;
        if (part[i].deviation > out->ratio_deviation) out->ratio_deviation = part[i].deviation;
    }
    free(all);
    return NULL;
}

/* The norm of the sum of which every learner has a slice. */
static status norm_gather(struct learner *l, struct optimizer *optimizer, const float *gradient,
                          double *norm)
{
    const size_t bytes = (size_t)optimizer_own_parts(optimizer) * sizeof(double);
    double *mine = memory_allocate(bytes);
    void *all = NULL;
    size_t total = 0;
    status s = optimizer_square_sums(optimizer, gradient, mine);
    if (!s) s = l->exchange.gather(l->exchange.context, mine, bytes, &all, &total);
    if (!s) *norm = optimizer_norm(all, (int64_t)(total / sizeof(double)));
    free(all);
    free(mine);
    return s;
}

/* The clip and the step, by the learner that owns the slice.  The norm is the same on all
 * learners, so they all skip it or none does. */
static status gradient_apply(struct learner *l, const float *gradient, struct optimizer *optimizer,
                             struct parameters *parameters, double lr, struct step_metrics *out)
{
    const double most = l->settings.gradient_norm_max;
    const int watched = parameters == l->policy_parameters ? l->watched_policy : l->watched_critic;
    TRY(norm_gather(l, optimizer, gradient, &out->gradient_norm));
    out->skipped = !isfinite(out->gradient_norm) || (most > 0 && out->gradient_norm > most);
    if (out->skipped) return NULL;
    TRY(weights_watch_check(&l->watch, watched));
    if (l->watched_base >= 0) TRY(weights_watch_check(&l->watch, l->watched_base));
    const bool last = l->last_step && optimizer == l->policy_optimizer;
    optimizer->ready = last ? l->exchange.values_ready : NULL;
    optimizer->ready_context = l->exchange.context;
    learner_before_change(l);
    TRY(optimizer_step(optimizer, parameters->values, gradient, out->gradient_norm, lr));
    TRY(l->exchange.gather_values(l->exchange.context, parameters->values, parameters->size));
    TRY(weights_watch_take(&l->watch, watched));
    const struct watched *taken = &l->watch.list[watched];
    return l->comparing && l->exchange.compare
               ? l->exchange.compare(l->exchange.context, taken->name, taken->hash)
               : NULL;
}

/* Called by the last backward pass of the step: what is final of the last leaf is final of the sum,
 * and is sent to the other learners while the pass goes on. */
struct sending {
    const struct learner_exchange *exchange;
    struct gradient_tree *tree;
};

static void gradient_ready(void *context, int64_t offset)
{
    const struct sending *sending = context;
    gradient_tree_ready(sending->tree, offset);
    sending->exchange->reduce_ready(sending->exchange->context, offset);
}

/* A microbatch, chunk by chunk, into a leaf of the tree. */
static status microbatch_run(struct learner *l, const struct loss *loss,
                             const struct learn_batch *batch, int64_t microbatch,
                             struct partial *partial)
{
    struct gradient_tree *tree = loss->of_critic ? l->critic_tree : l->policy_tree;
    const int64_t size = (loss->of_critic ? l->critic_parameters : l->policy_parameters)->size;
    float *leaf = NULL;
    TRY(gradient_tree_leaf(tree, &leaf));
    const bool last = gradient_tree_ends(tree);
    struct sending sending = {&l->exchange, tree};
    if (last) TRY(l->exchange.reduce_begin(l->exchange.context, gradient_tree_sum(tree), size));
    const int64_t end = batch->begin[microbatch + 1];
    const int64_t together = loss_together(loss);
    status s = NULL;
    for (int64_t at = batch->begin[microbatch]; !s && at < end;) {
        const int64_t n =
            pack_chunk(&l->settings, l->causal, together, batch->turns + at, end - at);
        if (last && at + n == end)
            l->watermark = (struct model_watermark){gradient_ready, &sending};
        s = loss->chunk(l, batch, batch->turns + at, n, leaf, partial);
        at += n;
    }
    l->watermark = (struct model_watermark){0};
    if (!s) s = gradient_tree_push(tree);
    if (!s && last) l->exchange.reduce_ready(l->exchange.context, 0);
    return s;
}

status learner_step(struct learner *l, const struct loss *loss, const struct learn_batch *batch,
                    double lr, struct step_metrics *out)
{
    memset(out, 0, sizeof *out);
    const int64_t mine = learner_microbatches(l);
    TRY(weights_watch_begin(&l->watch));
    struct partial *partials = memory_allocate((size_t)mine * sizeof *partials);
    float *gradient = NULL;
    status s = NULL;
    for (int64_t i = 0; !s && i < mine; i++) {
        s = microbatch_run(l, loss, batch, i, &partials[i]);
        progress_poll();
    }
    if (!s) s = gradient_tree_result(loss->of_critic ? l->critic_tree : l->policy_tree, &gradient);
    if (!s) s = partials_gather(l, partials, out);
    if (!s) s = l->exchange.reduce_finish(l->exchange.context);
    free(partials);
    if (!s)
        s = gradient_apply(l, gradient, loss->of_critic ? l->critic_optimizer : l->policy_optimizer,
                           loss->of_critic ? l->critic_parameters : l->policy_parameters, lr, out);
    return s ? s : loss->refresh(l);
}
