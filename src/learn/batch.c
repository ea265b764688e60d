/* How a batch is cut; see batch.h. */
#include "src/learn/batch.h"

int64_t microbatch_first(int64_t microbatches, int64_t dialogues, int64_t microbatch)
{
    return microbatch * dialogues / microbatches;
}
