/* Contiguous slices [p T / P, (p + 1) T / P) of T things over P parts: a batch's dialogues over
 * actors and over learners, a vector's values over the learners that own them. */
#ifndef REGARD_BASE_SLICES_H
#define REGARD_BASE_SLICES_H

#include <stdint.h>

static inline int64_t slice_first(int64_t part, int64_t total, int64_t parts)
{
    return part * total / parts;
}

/* The part whose slice holds a place: the last p with p T / P <= place. */
static inline int64_t slice_owner(int64_t place, int64_t total, int64_t parts)
{
    return ((place + 1) * parts - 1) / total;
}

enum { SLICE_FLOATS = 16 };

/* The same of a vector of floats, but that slices begin at multiples of 16 floats, where wide
 * loads are allowed.  Cut into a multiple of P parts, a slice is a whole number of them. */
static inline int64_t slice_floats(int64_t part, int64_t total, int64_t parts)
{
    return part == parts ? total : slice_first(part, total / SLICE_FLOATS, parts) * SLICE_FLOATS;
}

#endif
