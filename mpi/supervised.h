/* What runs share that learn from given examples: sft and reward.  Every rank learns, batches come
 * in a fixed order, and the gradient tree makes the bits those of any number of learners. */
#ifndef REGARD_MPI_SUPERVISED_H
#define REGARD_MPI_SUPERVISED_H

#include "mpi/run_loop.h"
#include "src/learn/step.h"

/* A kind's own struct begins with it. */
struct supervised {
    struct run run;
    const struct loss *loss;
    int64_t batch; /* items an update, each loss->together turns */
    double lr;
    int64_t patience, held_out; /* items held out; 0: none */
    const char *watched;        /* the held-out metric that decides, of which lower is better */
    /* The turns of the item at a place of the endless order; what they point to stays until
     * turn_end of each, which may be NULL. */
    void (*item)(struct supervised *s, int64_t place, struct learn_turn *turns);
    void (*turn_end)(struct learn_turn *turn);
};

/* Whether all ranks are learners, else the error. */
status supervised_check(const struct world *world, const char *verb);

/* Functions of a run_kind. */
status supervised_resume(struct run *run);
status supervised_connect(struct run *run);
/* Batch `step`: places [step batch, (step + 1) batch) of the endless order.  Metrics: loss,
 * gradient_norm, skipped, learn_tokens_computed, learn_tokens_pairs, learning_rate; of pairs
 * accuracy too, with an aligner alignment. */
status supervised_step(struct run *run, int64_t step, struct metric_list *metrics, int64_t *tokens);
bool supervised_evaluates(const struct run *run, int64_t step);
struct run_watch supervised_watch(const struct run *run);
status supervised_save(struct run *run, int64_t step);

/* Held-out items [begin, end) measured by one learner. */
typedef status held_out_function(struct supervised *s, int64_t begin, int64_t end, void *records);
/* Shared among the learners, as contiguous parts, a part a microbatch: *all has part_bytes a part
 * and item_bytes an item of what they were measured to, in order, *total bytes in all, on every
 * learner; the caller frees it.  *stopped: a signal came before it was complete, and there is none.
 */
status supervised_measure(struct supervised *s, size_t part_bytes, size_t item_bytes,
                          held_out_function *measure, void **all, size_t *total, bool *stopped);
/* Rank 0 says what is left out, where there is any, and the line of the first: items whose prompt
 * is longer than history.max_tokens, or that are longer than a model's longest sequence, `max`. */
void supervised_warn_overlong(const struct run *run, const char *path, int64_t count,
                              const char *what, int64_t line);
void supervised_warn_longer(const struct run *run, int64_t count, const char *what, int64_t line,
                            int64_t max);
/* --dry-run's first lines: memory, parameters, what there is to learn from. */
status supervised_describe(struct run *run, plan_function *plan, int64_t items, const char *what,
                           FILE *out);

#endif
