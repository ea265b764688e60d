/* What a reply answers: the number it ends with, as lm-evaluation-harness's task gsm8k reads it,
 * what stands in \boxed{}, and how answers are compared. */
#ifndef REGARD_TEXT_ANSWER_H
#define REGARD_TEXT_ANSWER_H

#include <stdbool.h>

enum answer_extract {
    /* What follows the first "#### " that a number follows: the filter strict-match,
     * #### (\-?[0-9\.\,]+). */
    ANSWER_STRICT,
    /* The last number: the filter flexible-extract, (-?[$0-9.,]{2,})|(-?[0-9]+), the last match,
     * which may be "$." alone. */
    ANSWER_FLEXIBLE
};

/* The text of the number, to be freed; NULL: there is none. */
char *answer_number(const char *text, enum answer_extract form);
/* The answer of a reply: the number as the form says; strict where there is none, and flexible
 * where there is a \boxed{}, what is boxed.  NULL: none. */
char *answer_extract(const char *text, enum answer_extract form);

/* Whether both are the same number (3 and 3.0, 3000 and $3,000), or the same text once commas,
 * dollars, all up to "#### ", a final full stop and the case are left out. */
bool answer_equal(const char *a, const char *b);
/* Whether the text is a number once commas and dollars are left out. */
bool answer_is_number(const char *text);

/* Whether two texts are the same but for case, runs of spaces, spaces at commas, and spaces and
 * . ! ? at the end: the comparison `match`. */
bool answer_match(const char *a, const char *b);
/* Whether the text has the value in it, but for case and runs of spaces, with no letter or digit
 * right before or behind it: the comparison `contains`. */
bool answer_contains(const char *text, const char *value);
/* The form in which answer_match compares, to be freed. */
char *answer_normal(const char *text);

#endif
