/* Interaction distillation (docs/reward.md): while a reward model, the student, goes back through
 * the two sequences of each pair, its attention over both is drawn to that of a teacher, a reward
 * model that reads the prompt and both replies at once.  Nothing of the teacher is in the student.
 */
#ifndef REGARD_LEARN_ALIGNER_H
#define REGARD_LEARN_ALIGNER_H

#include "src/learn/batch.h"
#include "src/learn/settings.h"
#include "src/model/value_model.h"

struct aligner;

/* Both stay the caller's and on one queue.  teacher NULL: the control `uniform` needs none.  Fails
 * where the student's heads cannot be cut into as many as the teacher has. */
status aligner_create(const struct align_settings *settings, struct value_model *teacher,
                      struct value_model *student, struct aligner **out);
void aligner_destroy(struct aligner *aligner);
/* All memory at once; limits: of the student's passes. */
status aligner_reserve(struct aligner *aligner, const struct model_limits *limits);

/* The pairs of turns (the chosen one first) that the student has just read in one pass, each with
 * rows of its own (struct model_batch: apart): the teacher reads them, and the student's next
 * backward pass is aligned.  all_pairs: of the batch.  probabilities [count / 2]: the teacher's
 * that the chosen reply is preferred; NULL: not wanted. */
status aligner_read(struct aligner *aligner, const struct model_batch *batch,
                    const struct learn_turn *turns, int64_t count, double all_pairs,
                    double *probabilities);
/* After that backward pass: the pairs' part of L_att, without rm.align.weight. */
status aligner_distance(struct aligner *aligner, double *distance);

/* What a teacher reads of a pair: the prompt, a reply and the other, each with its end token.
 * tokens: room for it; returns how many they are.  second: the second turn's reply comes first. */
int64_t aligner_join(const struct learn_turn pair[2], bool second, int32_t *tokens);

#endif
