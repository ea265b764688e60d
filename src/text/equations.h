/* Equations that stand in a text, and whether they hold: "6 - 2 = 4", "$10 x (2 + 3) = $50",
 * "60 words * 60 minutes = 3,600". */
#ifndef REGARD_TEXT_EQUATIONS_H
#define REGARD_TEXT_EQUATIONS_H

#include <stdint.h>

struct equations {
    int64_t count; /* "=" between two sums of which one at least computes something */
    int64_t hold;  /* of them the right ones, to the digits that the right side is written with */
};

/* Numbers may have a dollar before them, commas in them, and a percent or up to three words of a
 * unit behind them. */
struct equations text_equations(const char *text);

#endif
