/* Dialogues as other programs write them, and their conversion to our lines of "messages". */
#ifndef REGARD_DATA_FOREIGN_H
#define REGARD_DATA_FOREIGN_H

#include "src/base/json.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct import_counts {
    int64_t read, written;
    int64_t shortened; /* written without an assistant's opening or a user's last words */
    int64_t left_out;  /* without a user's and an assistant's turn, with other roles, or with fields
                        * that say what is right of messages that change or are wrong */
    char first_left_out[1400]; /* "FILE:LINE: why" of the first */
};

/* Reads JSON Lines or a JSON list; path -: standard input.  Preferences become what
 * foreign_preference.h says.  Of dialogues (ShareGPT, prompt and completion, instruction and
 * output, messages with a system role) each becomes a line of "messages" with user and assistant in
 * turn, the user's first and the assistant's last.  What the system says goes before the user's
 * first words, with keep_system it is a message of its own; messages in a row by the same side
 * become one, joined by a line break.  answer, verify, reject, given and slots are kept of lines of
 * messages whose number stays the same (the system's not counted).  A user's name stays with what
 * that user said; where two are joined it goes into the text, "NAME: ". */
status dialogues_import(const char *path, bool keep_system, FILE *out,
                        struct import_counts *counts);

#endif
