/* Replies to histories that are asked, made together. */
#ifndef REGARD_PROBE_ASKED_BLOCK_H
#define REGARD_PROBE_ASKED_BLOCK_H

#include "src/probe/asked.h"
#include "src/rollout/judge.h"

/* Replies to the histories [begin, end); arrays [rows], a row a reply, history by history. */
struct asked_block {
    int64_t begin, end, rows;
    struct reply_row *row;
    struct reply *replies;
    struct judged *judged;
    char **texts;
};

/* Of the histories from `begin` on as many as infer.batch holds replies to, or one.  `out` is to be
 * freed, whatever becomes of it. */
status asked_block_make(struct generator *generator, const struct rollout_settings *sampling,
                        const struct language *language, const struct asked *asked, int64_t begin,
                        struct asked_block *out);
void asked_block_free(struct asked_block *block);

#endif
