/* fit.json: a fit, what it was fitted on, and how well it did on dialogues that it was not. */
#ifndef REGARD_FIT_FIT_FILE_H
#define REGARD_FIT_FIT_FILE_H

#include "src/fit/fit.h"

#include <jansson.h>
#include <stdio.h>

struct fit_about {
    char target[64];              /* verifier, rouge_l, chrf or a field of the data line */
    char data[1024], model[1024]; /* as they were named */
    bool shuffled;                /* fitted to labels shuffled within histories: a null */
};

/* held_out: an object, printed as it is. */
void fit_write(FILE *out, const struct fit *fit, const struct fit_about *about,
               const json_t *held_out);
/* Refuses what fit_write did not write, and numbers that no fit has; one line that names the file.
 */
status fit_read(const char *path, struct fit *fit, struct fit_about *about);

#endif
