/* The families of models that this program knows. */
#ifndef REGARD_MODEL_FAMILIES_H
#define REGARD_MODEL_FAMILIES_H

struct model_family;

/* By its name, or by the model_type of a config.json; NULL: none. */
const struct model_family *family_find(const char *name);
const struct model_family *family_of_config(const char *model_type);
/* NULL behind the last.  The first is meant where nothing names one. */
const struct model_family *family_at(int index);

#endif
