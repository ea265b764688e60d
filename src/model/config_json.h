/* Keys of a Hugging Face config.json.  null counts as absent, as in Transformers; errors name the
 * file and the key. */
#ifndef REGARD_MODEL_CONFIG_JSON_H
#define REGARD_MODEL_CONFIG_JSON_H

#include "src/model/shape.h"

/* NULL: absent. */
const json_t *config_find(const json_t *config, const char *key);
/* Where a key is absent, *out keeps what it holds; that is held against the bounds too. */
status config_integer(const json_t *config, const char *path, const char *key, int64_t low,
                      int64_t high, int64_t *out);
status config_number(const json_t *config, const char *path, const char *key, double low,
                     double high, double *out); /* above low, up to high */
status config_flag(const json_t *config, const char *path, const char *key, bool *out);
status config_text(const json_t *config, const char *path, const char *key, const char **out);
/* Every row of the shape that has a config key; those absent keep what the shape holds. */
status config_rows(const json_t *config, const char *path, struct model_shape *shape);

#endif
