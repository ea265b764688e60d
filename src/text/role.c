/* Names of roles; see role.h. */
#include "src/text/role.h"

const char *role_name(enum dialogue_role role)
{
    static const char *const names[ROLE_COUNT] = {
        [ROLE_USER] = "user", [ROLE_ASSISTANT] = "assistant", [ROLE_SYSTEM] = "system"};
    return names[role];
}
