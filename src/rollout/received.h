/* What attention the tokens of a history got from a reply while it was sampled: the sum over the
 * reply's tokens of the row that the reward reads, averaged over layers and heads, whatever V is
 * (history.prune: mass).  One row a reply. */
#ifndef REGARD_ROLLOUT_RECEIVED_H
#define REGARD_ROLLOUT_RECEIVED_H

#include "src/model/buffer.h"
#include "src/model/decoder.h"
#include "src/rollout/reply.h"

struct received {
    struct queue *queue;
    struct buffer sums, ended; /* of replies */
    struct host_buffer host;
    struct attention_received call;
    int64_t replies;
    bool on;
};

void received_create(struct received *received, struct queue *queue);
void received_destroy(struct received *received);
/* Room for so many replies to histories of at most `longest` tokens; on: whether it is asked for
 * from here on.  Nothing where it is not, as all calls here. */
status received_reserve(struct received *received, bool on, int64_t replies, int64_t longest);
/* Sets up the call for the decoder's rows. */
void received_begin(struct received *received, const struct model_shape *shape,
                    struct model_decoder *decoder, int64_t replies);
/* After a step's sampling: what its rows captured, sums over 1 / weight layers and heads. */
void received_step(struct received *received, const float *capture, int64_t stride, float weight,
                   const int32_t *token, int64_t rows);
/* The reply ends here, whatever is sampled behind it. */
void received_cut(const struct received *received, int64_t reply);
/* After all steps: queues the copy to the host. */
void received_read(struct received *received);
/* After synchronize: reply->received of reply r to a history of so many tokens. */
void received_reply(const struct received *received, int64_t r, int64_t tokens,
                    struct reply *reply);

#endif
