/* A model's packed matrices, which nothing writes between one packing and the next: another hash
 * then means that memory failed, or that a program wrote where it must not.  Its parameters:
 * src/model/weights_watch.h. */
#ifndef REGARD_MODEL_MATRICES_WATCH_H
#define REGARD_MODEL_MATRICES_WATCH_H

#include "src/model/model.h"

struct matrices_watch;

/* Of the matrices that the model does not borrow, adapters' among them. */
status matrices_watch_open(const struct model *model, struct matrices_watch **out);
/* For all three NULL is fine, and nothing. */
void matrices_watch_close(struct matrices_watch *watch);
/* They were packed: their hashes from here on. */
status matrices_watch_take(struct matrices_watch *watch);
/* They are what they were when their hashes were taken, which is now if they were not.  An error
 * begins with `who` and names the matrix of `whose`, "policy". */
status matrices_watch_check(struct matrices_watch *watch, const char *who, const char *whose);

#endif
