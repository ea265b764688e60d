/* Replies that somebody gave a number, for a fit (regard probe --fit FIELD).  A JSON line is one of
 *   {"messages":[.. user's],"reply":TEXT,FIELD:NUMBER}       what generate writes, with a label
 *   {"messages":[.. user's],"replies":[{"content":TEXT,FIELD:NUMBER},..]}
 * Lines of the same messages are one history, those of the same "id" of one dialogue. */
#ifndef REGARD_DATA_LABELLED_H
#define REGARD_DATA_LABELLED_H

#include "src/data/dialogue.h"

struct labelled_reply {
    char *text;
    double label;
    int32_t *tokens; /* [count] as they were sampled; NULL: the text is all there is */
    int64_t count;
    bool ended;      /* true unless the line says that it did not */
    int64_t history; /* that it answers */
};

struct labelled {
    char field[64];
    struct dataset histories;       /* each ends in the user's message */
    struct labelled_reply *replies; /* [first[histories.count]] by history */
    int64_t *first;                 /* [histories.count + 1] */
    int64_t *dialogue;              /* [histories.count] numbers from 0 */
};

status labelled_read(const char *path, const char *field, struct labelled **out);
void labelled_free(struct labelled *labelled);

#endif
