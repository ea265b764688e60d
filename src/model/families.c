#include "src/model/families.h"

#include "src/model/family.h"

#include <string.h>

/* One line a family: src/model/NAME/ defines family_NAME. */
#define FAMILIES(F) F(t5) F(causal)

#define DECLARE(name) extern const struct model_family family_##name;
#define ENTRY(name) &family_##name,
FAMILIES(DECLARE)
static const struct model_family *const families[] = {FAMILIES(ENTRY) NULL};

const struct model_family *family_at(int index)
{
    return families[index];
}

const struct model_family *family_find(const char *name)
{
    for (int i = 0; families[i]; i++)
        if (!strcmp(families[i]->name, name)) return families[i];
    return NULL;
}

const struct model_family *family_of_config(const char *model_type)
{
    for (int i = 0; families[i]; i++)
        for (const char *const *type = families[i]->config_types; *type; type++)
            if (!strcmp(*type, model_type)) return families[i];
    return NULL;
}
