/* A rank's work done once on a device that is only reckoned (kernels/sleep.h, estimates): the same
 * code as a run's generates, learns and evaluates, and what each part takes is noted. */
#ifndef REGARD_MPI_REHEARSAL_H
#define REGARD_MPI_REHEARSAL_H

#include "kernels/memory_kinds.h"
#include "kernels/ops.h"
#include "src/base/config.h"
#include "src/data/dialogue.h"
#include "src/plan/model.h"
#include "src/rollout/language.h"

struct rehearsal {
    struct config config;
    struct queue *queue;
    struct dataset *data, *valid; /* valid NULL: none */
    struct language *language;
};

/* Of `train` with these settings.  Sources that start programs or plugins of the user's are left
 * out: nothing of the user's is run. */
status rehearsal_open(const struct config *config, const struct cost_rates *rates,
                      size_t real_bytes, struct rehearsal **out);
void rehearsal_close(struct rehearsal *rehearsal);
/* prices_free frees what is in *out. */
status rehearsal_prices(struct rehearsal *rehearsal, const struct lengths *lengths,
                        struct prices *out);
/* What a rank of a run will hold at most, by kind. */
status rehearsal_memory(struct rehearsal *rehearsal, const struct plan_run *run, int64_t rank,
                        size_t bytes[MEMORY_KINDS]);

#endif
