/* Who says a message. */
#ifndef REGARD_TEXT_ROLE_H
#define REGARD_TEXT_ROLE_H

enum dialogue_role { ROLE_USER, ROLE_ASSISTANT };

#endif
