/* The lines of a data set in three parts, by a hash of each (regard split). */
#ifndef REGARD_DATA_SPLIT_H
#define REGARD_DATA_SPLIT_H

#include "src/base/status.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum split_part { SPLIT_TRAIN, SPLIT_VALID, SPLIT_TEST, SPLIT_PARTS };
const char *split_part_name(enum split_part part); /* "train", .. */

struct split_settings {
    int64_t seed;
    double share[SPLIT_PARTS]; /* expected, of all lines; they add up to 1 */
    const char *by; /* a field: lines of one value fall to one part; empty: of the same text */
};

/* The part of a line, which is a JSON object: a function of the seed and of the line's text without
 * blanks around it, or of its field's value, so that no other line changes it.  where: "FILE:LINE",
 * for errors. */
status split_part_of(const struct split_settings *settings, const char *line, size_t size,
                     const char *where, enum split_part *out);

struct split_counts {
    int64_t lines[SPLIT_PARTS];
};
/* Writes each line of a file, or of a set that is made, as it stands to its part's stream, which
 * may be NULL where the share is 0.  A part with a share and no line is an error. */
status split_lines(const struct split_settings *settings, const char *path,
                   FILE *const out[SPLIT_PARTS], struct split_counts *counts);

#endif
