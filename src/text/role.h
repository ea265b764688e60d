/* Who says a message. */
#ifndef REGARD_TEXT_ROLE_H
#define REGARD_TEXT_ROLE_H

/* A system message stands at most once, before all others. */
enum dialogue_role { ROLE_USER, ROLE_ASSISTANT, ROLE_SYSTEM, ROLE_COUNT };

/* Users of one dialogue who have names; bytes of a name with its end. */
enum { SPEAKERS_MAX = 8, SPEAKER_NAME_MAX = 32 };

const char *role_name(enum dialogue_role role); /* as data sets spell it */

#endif
