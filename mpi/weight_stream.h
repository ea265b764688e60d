/* The policy's weights from learner 0 to the actors, through the host: in buckets, each of which
 * leaves when the update has finished it, while the actors generate.  A host has one copy of a
 * version in memory that its ranks share, and as many versions have room as can be on their way:
 * learner 0 waits for nobody, and an actor finds the version that is due there.  Between hosts the
 * buckets go by MPI, to one rank of each host, while both sides do other things
 * (src/base/progress.h).
 *
 * Every bucket has a checksum, which one actor of each host checks, whichever finds it there first;
 * behind the buckets comes a header with version, count and what goes with the weights.  What is
 * damaged or of another version is refused with rank, version and bucket. */
#ifndef REGARD_MPI_WEIGHT_STREAM_H
#define REGARD_MPI_WEIGHT_STREAM_H

#include "kernels/ops.h"
#include "mpi/transport.h"

struct weight_stream_settings {
    int64_t size;  /* floats of a version */
    int64_t other; /* bytes that go with it */
    int64_t slots; /* versions that are there at a time: pipeline.lag + 1 */
    int64_t first; /* the first version; each one after it follows */
    int host;      /* this rank's, for tests; -1: as MPI finds it */
};

struct weight_stream;

/* Collective over learner 0, which is no actor, and the actors, whose queue it is. */
status weight_stream_open(struct world *world, struct queue *queue,
                          const struct weight_stream_settings *settings,
                          struct weight_stream **out);
/* Frees what is here; after weight_stream_end, or an error. */
void weight_stream_close(struct weight_stream *stream);
/* The bytes that one rank of a host holds for all its ranks. */
int64_t weight_stream_bytes(const struct weight_stream_settings *settings);

/* Learner 0.  Floats [begin, end) of the next version are final in values, on the device; each is
 * said once, in any order.  An error is told by weight_stream_publish. */
void weight_stream_ready(struct weight_stream *stream, const float *values, int64_t begin,
                         int64_t end);
/* All of the next version, which is `version`, is there; what was not said to be ready leaves too.
 */
status weight_stream_publish(struct weight_stream *stream, int64_t version, const float *values,
                             const void *other);

/* An actor: whether all of the next version is there, or an error, which the next call tells. */
bool weight_stream_there(struct weight_stream *stream);
/* An actor: waits for the next version, which is `version`, on the host until weight_stream_taken.
 */
status weight_stream_take(struct weight_stream *stream, int64_t version, const float **values,
                          const void **other);
void weight_stream_taken(struct weight_stream *stream);

/* Moves on what is under way between hosts; cheap, and an error waits for the next call above. */
void weight_stream_poll(struct weight_stream *stream);
/* Everybody: after the last version.  Waits for what is under way. */
status weight_stream_end(struct weight_stream *stream);

#endif
