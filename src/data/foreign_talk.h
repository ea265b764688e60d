/* A dialogue of another program being put together out of messages: sides alternate, the user's
 * first. */
#ifndef REGARD_DATA_FOREIGN_TALK_H
#define REGARD_DATA_FOREIGN_TALK_H

#include "src/base/json.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum speaker { USER, ASSISTANT, SYSTEM, OTHER };

/* Begins as zeros. */
struct talk {
    char **texts; /* the user's at even places */
    char **names; /* who said it, where one user with a name said all of it; else NULL */
    int64_t count;
    char *system;
    bool shortened;
    const json_t *judged; /* the line of messages, where it has fields that say what is right */
    int64_t unlike;       /* from 1: its first message that is none of ours; 0: each is */
    char why[256];        /* it cannot be used; empty: it can */
};

/* Whose message it is: by "role", else "from". */
enum speaker talk_speaker(const json_t *message);
/* Whether a line of messages begins with the system's. */
bool talk_has_system(const json_t *line);
/* The member of the first name, else of the second; or NULL. */
const json_t *json_either(const json_t *object, const char *first, const char *second);
/* Joined to the message before where that is by the same side; blank texts are nothing, an
 * assistant's opening is left out (shortened).  name: of a user who has one, or NULL. */
void talk_add(struct talk *talk, enum speaker speaker, const char *name, const char *text);
void talk_add_messages(struct talk *talk, const json_t *messages);
/* Text, or a list of messages as conversational data sets have it. */
void talk_add_side(struct talk *talk, enum speaker speaker, const json_t *side);
/* What the system says goes before the user's first words. */
void talk_join_system(struct talk *talk);
void talk_free(struct talk *talk);

/* "name":VALUE */
void json_write_member(FILE *out, const char *name, const json_t *value);
/* "id":ID, with its comma; nothing of what is neither text nor a whole number. */
void talk_write_id(const json_t *id, FILE *out);
/* "messages":[..]: the system's and the first `count` of the talk's, each with the slots that the
 * judged line gives it. */
void talk_write_messages(const struct talk *talk, int64_t count, FILE *out);

#endif
