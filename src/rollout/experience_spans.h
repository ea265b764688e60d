/* Where credit is given within a reply: an experience's turn cut into spans. */
#ifndef REGARD_ROLLOUT_EXPERIENCE_SPANS_H
#define REGARD_ROLLOUT_EXPERIENCE_SPANS_H

#include "src/rollout/experience.h"

/* Spans of a turn: 1 where it is not cut. */
int64_t experience_spans(const struct experience_turn *turn);
/* Span i of them: the whole reply with its terms where it is not cut. */
struct experience_span experience_span(const struct experience_turn *turn, int64_t i);
/* Cuts a turn that is one span: `begin` [count] ascends from 0 to below its length.  The last span
 * gets the terms that the turn has, the others 0. */
void experience_turn_cut(struct experience_turn *turn, const int32_t *begin, int32_t count);

#endif
