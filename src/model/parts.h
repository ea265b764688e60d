/* The parts of a model's linear layers, for which adapters can be asked: the parameters that stand
 * in a layer's weight one under the other, called by the last word of their module's path ("q_proj"
 * of "model.layers.0.self_attn.q_proj.weight").  The head is none. */
#ifndef REGARD_MODEL_PARTS_H
#define REGARD_MODEL_PARTS_H

#include "src/model/linear.h"
#include "src/model/model.h"

typedef void (*part_visit)(void *context, struct linear *w, const struct parameter *part);
/* All parts in the order of their offsets. */
void parts_visit(const struct model *model, part_visit visit, void *context);
/* The module's path is the first so many bytes of a parameter's name: all but ".weight". */
int part_path_length(const struct parameter *part);
/* Whether a list "q,v" has a part's name, or the end of its path. */
bool part_is_chosen(const struct parameter *part, const char *targets);
/* "q, k, v, o, ..."; freed with free(). */
char *parts_names(const struct model *model);
/* A target that no part has is refused by name, with the names that there are. */
status parts_check_targets(const struct model *model, const char *targets);

#endif
